"""The hub: the folder with the models. It never loads one.

`names` knows what models are called and where they are published, `manifest` what lies in a folder and whether it is
whole, `store` which models there are and which one is meant, `fetch` gets and quantises one in a process of its own.
"""
