"""Files of ``torch.save``, read without executing anything in them: tensors and plain values only."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brfkit.errors import BrfkitError
from brfkit.io.atomic import PathLike, read_stored_zip
from brfkit.io.streams import open_file

if TYPE_CHECKING:
    from torch import Tensor

_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80\x02"

# The members that hold values. Others mean another kind of archive to torch: with constants.pkl, releases before 2.6
# hand the file to torch.jit.load, which runs the code in it.
_MEMBERS = re.compile(r"data\.pkl|data/\d{1,9}|byteorder|version")
_BYTE_ORDERS = (b"little", b"big")


def is_torch_file(path: PathLike) -> bool:
    """Whether the file is one of torch, by its first bytes and member names; one that cannot be read is not."""
    try:
        with open_file(Path(path)) as stream:
            magic = stream.read(4)
            if magic[:2] == _PICKLE_MAGIC:
                return True
            return magic == _ZIP_MAGIC and any(
                name.endswith("/data.pkl") for name in zipfile.ZipFile(stream).namelist()
            )
    except Exception:  # damaged archives make zipfile raise anything
        return False


def read_torch_file(path: PathLike) -> Any:
    """What ``torch.load`` makes of the file on the CPU; only tensors and plain values are let through.

    Raises:
        BrfkitError: the file is missing, empty, damaged or of another kind, or holds anything else.
    """
    with open_file(Path(path)) as stream:
        magic = stream.read(2)
    if not magic:
        raise BrfkitError(f"{path} is empty")
    if magic == _PICKLE_MAGIC:
        raise BrfkitError(
            f"{path} is a pickle or an old torch file without checksums; save it anew with torch 1.6 or later"
        )
    members = read_stored_zip(path)
    folders = [name[: -len("data.pkl")] for name in members if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise BrfkitError(f"{path} is not a torch file")
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a file that is refused in the next lines
            # torch's reader verifies no checksum and trusts the archive's headers: it gets an archive written here.
            return torch.load(_archive(members, folders[0]), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile pickle provokes
        raise BrfkitError(
            f"{path} holds more than tensors and plain values, or is damaged ({type(error).__name__})"
        ) from error


def check_tensor(value: Any, where: str) -> Tensor:
    """`value` if it is a dense tensor in ordinary memory that its storage can hold, else BrfkitError."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise BrfkitError(f"{where} is a {type(value).__name__}, not a tensor")
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_complex():
        raise BrfkitError(f"{where} is not a dense tensor of real numbers ({value.dtype})")
    # Strides of 0 let a file of a few bytes claim any shape.
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise BrfkitError(f"{where} claims the shape {tuple(value.shape)}, more than the file holds")
    return value.detach()


def _archive(members: Mapping[str, bytes], folder: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            inner = name[len(folder) :]
            if name.startswith(folder) and _MEMBERS.fullmatch(inner):
                if inner == "byteorder" and data not in _BYTE_ORDERS:
                    raise ValueError("unknown byte order")
                archive.writestr("archive/" + inner, data)
    buffer.seek(0)
    return buffer
