"""What survives a power cut: fsync(2) of a file makes its content durable, of its folder its name."""

import errno
import os


def sync_folder(folder: str) -> None:
    """Make the names in `folder` durable. File systems that cannot do that for a folder (EINVAL) are let off."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)
