"""Models: a network with its weights."""

import ctypes
import os
from dataclasses import dataclass
from typing import Any, Optional, Union

from . import _abi, _library
from ._arguments import text, whole
from ._handle import Handle, Owner


@dataclass(frozen=True)
class ModelInfo:
    """What was loaded.

    network: such as "compact" or "sam2.1_hiera_tiny". device: "cpu" or "cuda:0". precision: "fp32" or "bf16".
    path: the file. image_size: pixels of a side of the square that the network sees. parameters: number of weights.
    """

    network: str
    device: str
    precision: str
    path: str
    image_size: int
    parameters: int


class Model(Owner):
    """A network with its weights, loaded once and used by any number of sessions and threads; they compute one after the other.

    Sessions keep what they need of it: it may be closed before them. It is freed by `close`, at the end of a `with`, or with the last
    reference.
    """

    def __init__(
        self,
        path: Union[str, "os.PathLike[str]", None] = None,
        device: str = "auto",
        precision: str = "auto",
        image_size: Optional[int] = None,
    ) -> None:
        """Loads a model.

        path: a SAM 2, SAM 2.1 or MedSAM2 .pt, or a .safetensors; None: the environment's PROMEM_MODEL, else the default model that
            comes with this package.
        device: "auto" (the first CUDA device if there is one), "cpu", "cuda" or "cuda:1".
        precision: "auto" (bf16 where the hardware multiplies it), "fp32" or "bf16".
        image_size: pixels of a side of the square that the network sees; None: the file's own.

        Errors: IoError, BadFormat, BadModel for the file; ComputeError for a device that is not there; InvalidArgument;
        LibraryNotLoaded where libpromem or libtorch is missing.
        """
        options = _abi.ModelOptions(struct_size=ctypes.sizeof(_abi.ModelOptions))
        options.device, options.precision = text(device, "device"), text(precision, "precision")
        options.image_size = 0 if image_size is None else whole(image_size, "image_size", 32)
        file = None if path is None else text(path, "path")
        if device != "cpu":
            _library.prepare_cuda()

        def load(pointer: Any) -> None:
            _library.call("promem_model_load", file, ctypes.byref(options), pointer)

        self._handle = Handle(self, "model", _abi.Model, load, "promem_model_free")

    @property
    def info(self) -> ModelInfo:
        """What was loaded."""
        found = _abi.ModelInfo(struct_size=ctypes.sizeof(_abi.ModelInfo))
        self._handle.call("promem_model_describe", ctypes.byref(found))
        return ModelInfo(
            network=found.network.decode(),
            device=found.device.decode(),
            precision=found.precision.decode(),
            path=os.fsdecode(found.path),
            image_size=found.image_size,
            parameters=found.parameters,
        )

    def metadata(self, key: str) -> str:
        """What the model's file says of itself under `key`, such as "promem.licence".

        Errors: InvalidArgument where it says nothing under that name; the message lists the names that there are.
        """
        value = ctypes.c_char_p()
        self._handle.call("promem_model_metadata", text(key, "key"), ctypes.byref(value))
        return (value.value or b"").decode(errors="replace")

    def close(self) -> None:
        """Frees the model; sessions made of it go on. Closing twice is allowed."""
        super().close()

    _instead_of_a_copy = "threads share it, and another process loads its own from model.info.path"

    def _describe(self) -> str:
        info = self.info
        return f"{info.network} at {info.image_size} px on {info.device} in {info.precision}"
