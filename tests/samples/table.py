"""The sample recordings as a table: what is said in each, by whom, with which pauses, and how it is stored."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording: how it is spoken and how it is stored.

    Sentence number i is spoken by voice i and follows pause i, each list starting again at its end; one more pause
    follows the last sentence. So no sentence at all is one pause: silence.
    """

    file: str
    container: str
    codec: str
    sample_rate_hertz: int
    pauses_seconds: tuple[float, ...]
    language: str | None
    voices: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    bits_per_second: int | None = None
    codec_options: dict[str, str] = field(default_factory=dict)
    channel_gains: tuple[float, ...] = (1.0,)
    has_picture: bool = False

    @property
    def reference(self) -> str:
        """What is said, as a transcript would have it."""
        return " ".join(self.sentences)


SAMPLES = (
    Sample(
        file="shopping list.wav",
        container="wav",
        codec="pcm_s16le",
        sample_rate_hertz=16_000,
        pauses_seconds=(0.3,),
        language="en",
        voices=("en-us",),
        sentences=("Buy apples, soap and tomatoes.",),
    ),
    Sample(
        file="interview (stereo).flac",
        container="flac",
        codec="flac",
        sample_rate_hertz=16_000,
        pauses_seconds=(0.4, 0.6),
        language="en",
        voices=("en-us", "en-gb"),
        sentences=("When does the interview start?", "It is quarter to ten."),
        channel_gains=(0.8, 0.2),
    ),
    Sample(
        file="dictation_0042.mp3",
        container="mp3",
        codec="libmp3lame",
        sample_rate_hertz=22_050,
        bits_per_second=32_000,
        pauses_seconds=(0.5,),
        language="en",
        voices=("en-us",),
        sentences=("Please send the invoice to Clara.", "The meeting moved to room seventeen."),
    ),
    Sample(
        file="Voice 001.m4a",
        container="ipod",
        codec="aac",
        sample_rate_hertz=44_100,
        bits_per_second=40_000,
        pauses_seconds=(0.5, 0.8),
        language="en",
        voices=("en-gb",),
        sentences=("Did Clara walk the dog?", "Remind me to close the garage tomorrow morning."),
    ),
    Sample(
        file="PTT-20260314-WA0007.opus",
        container="ogg",
        codec="libopus",
        sample_rate_hertz=16_000,
        bits_per_second=16_000,
        codec_options={"application": "voip"},
        pauses_seconds=(0.3, 0.5),
        language="en",
        voices=("en-us",),
        sentences=("I am going to the market.", "Buy cheese, fish and bananas."),
    ),
    Sample(
        file="VID_20260314_175310.webm",
        container="webm",
        codec="libopus",
        sample_rate_hertz=48_000,
        bits_per_second=24_000,
        pauses_seconds=(0.8, 1.2),
        language="en",
        voices=("en-us",),
        sentences=("The weather will be cloudy today.", "If it is warm, we will go to the beach."),
        has_picture=True,
    ),
    Sample(
        file="mailbox +49 30 5550123.wav",
        container="wav",
        codec="pcm_mulaw",
        sample_rate_hertz=8_000,
        pauses_seconds=(0.4, 0.7),
        language="en",
        voices=("en-us",),
        sentences=("My number is four two four zero six five.", "Please call the bank tomorrow at eleven."),
    ),
    Sample(
        file="Notiz für Käthe.ogg",
        container="ogg",
        codec="libopus",
        sample_rate_hertz=24_000,
        bits_per_second=20_000,
        pauses_seconds=(0.4, 0.9),
        language="de",
        voices=("de",),
        sentences=("Das Treffen ist am Sonntag.", "Bitte bringe Äpfel und Eier.", "Die Tür im Büro ist grün."),
    ),
    Sample(
        file="weekly meeting.opus",
        container="ogg",
        codec="libopus",
        sample_rate_hertz=16_000,
        bits_per_second=12_000,
        codec_options={"application": "voip"},
        pauses_seconds=(0.8, 0.3, 1.5, 0.6, 3.0, 0.4, 1.2, 4.0, 1.0),
        language="en",
        voices=("en-us", "en-gb", "en-us"),
        # Taken as they came: no sentence was left out for being recognised badly.
        sentences=(
            "We need nine coffee.",
            "The code is one zero four five.",
            "You forgot to send the email to David tomorrow.",
            "Tom and Frank are working in the bedroom.",
            "Remind me to read the email at nine fifteen.",
            "Play some music in the bedroom.",
            "The class with Kevin is in four days.",
            "We want to bring the computer this evening.",
            "We need thirteen rice.",
            "Julia wants to feed the cat at eleven.",
            "The number is one five two.",
            "Anna was born in July.",
            "Remind me to call Maria before lunch.",
            "The green phone is behind the camera.",
            "We need eight water.",
            "I forgot to go to the school on Monday.",
            "I am at the hospital again.",
            "Clara will pay the invoice this afternoon.",
            "He knows that the bicycle is good.",
            "The lesson with David is tomorrow at eight fifteen.",
            "The class is tonight.",
            "Remind me to feed the dog tonight.",
            "Emma has to visit Frank.",
            "The window in the garage is ready.",
            "Grace has to bring the window after lunch.",
            "Close the window in the garage.",
            "Emma has to call Tom.",
            "Her sister has a small bird.",
            "The weather is warm next week.",
            "Can you call the school?",
            "My birthday is on the third of January.",
            "The interview starts next Monday.",
            "Her mother is at the airport.",
            "Emma will print the photo.",
            "He thinks that the table is early.",
            "The lesson starts on Saturday at quarter to two.",
            "Check the camera in the bedroom.",
            "The ready car is on the garage.",
            "What time is the movie today?",
            "Emma and Anna are playing in the office.",
            "Your father has a late window.",
            "The movie with Laura is next week.",
            "Send the document to Ben and Laura.",
            "I have to check the contract tomorrow at six.",
            "Remind me to cook dinner in one minutes.",
            "Please go to the station.",
            "The number is eight three four five nine five.",
            "The class moved to room seventy eight.",
            "My number is eight three three.",
            "Her doctor lives near the bank.",
            "The green car is near the bicycle.",
            "Open the car in the bathroom.",
            "The lesson is in room nine.",
            "Our friend is at the hotel.",
            "The interview is today.",
            "The weather will be rainy tonight.",
        ),
    ),
    Sample(
        file="pocket recording.flac",
        container="flac",
        codec="flac",
        sample_rate_hertz=16_000,
        pauses_seconds=(10.0,),
        language=None,
    ),
)
