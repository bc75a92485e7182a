"""The C interface of libpromem as ctypes sees it: constants, structs and prototypes of include/promem.h.

Nothing is loaded here. A test reads the header and compares every line of this file with it.
"""

import ctypes
from ctypes import (
    POINTER,
    c_char_p,
    c_double,
    c_float,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

ABI_VERSION = 1

# The libtorch that libpromem works with, and with no other. It is asked for before libpromem can say so itself.
LIBTORCH_VERSION = "2.11.0"

STATUSES = {
    "PROMEM_OK": 0,
    "PROMEM_INVALID_ARGUMENT": 10,
    "PROMEM_NULL_ARGUMENT": 11,
    "PROMEM_STRUCT_TOO_LARGE": 12,
    "PROMEM_UNSUPPORTED": 20,
    "PROMEM_BAD_FORMAT": 21,
    "PROMEM_BAD_MODEL": 22,
    "PROMEM_IO_ERROR": 30,
    "PROMEM_COMPUTE_ERROR": 31,
    "PROMEM_CANCELLED": 40,
    "PROMEM_BUSY": 41,
    "PROMEM_FORKED": 42,
    "PROMEM_INTERNAL_ERROR": 90,
}

# By the kind and the size that numpy gives a scalar type.
SCALARS = {
    "i1": 1,
    "u1": 2,
    "i2": 3,
    "u2": 4,
    "i4": 5,
    "u4": 6,
    "i8": 7,
    "u8": 8,
    "f4": 9,
    "f8": 10,
}

AXES = {"auto": 0, "i": 1, "j": 2, "k": 3}
DIRECTIONS = {"both": 0, "up": 1, "down": 2}
MEMORIES = {"search": 0, "sam2": 1}
CHOICES = {None: 0, False: 1, True: 2}
PRIORS = {None: 0, "none": 1, "previous": 2, "registered": 3}
VIEWS = {None: 0, "slice": 1, "object": 2}
LOG_LEVELS = {"ERROR": 1, "WARNING": 2, "INFO": 3, "DEBUG": 4}


class Model(ctypes.Structure):
    """promem_model: only its address is known."""


class Session(ctypes.Structure):
    """promem_session: only its address is known."""


class Job(ctypes.Structure):
    """promem_job: only its address is known."""


class ModelOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("image_size", c_uint32),
        ("device", c_char_p),
        ("precision", c_char_p),
    ]


class ModelInfo(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("image_size", c_uint32),
        ("parameters", c_uint64),
        ("network", c_char_p),
        ("device", c_char_p),
        ("precision", c_char_p),
        ("path", c_char_p),
    ]


class Volume(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("scalar_type", c_uint32),
        ("voxels", c_void_p),
        ("dims", c_uint64 * 3),
        ("strides", c_int64 * 3),
        ("ijk_to_ras", (c_double * 4) * 3),
    ]


class SessionOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("axis", c_uint32),
        ("window_width", c_double),
        ("window_level", c_double),
        ("cache_bytes", c_uint64),
        ("copy_voxels", c_uint32),
        ("reserved", c_uint32),
    ]


class Prompt(ctypes.Structure):
    _fields_ = [
        ("object", c_uint32),
        ("points", c_uint32),
        ("slice", c_int64),
        ("has_box", c_uint32),
        ("has_mask", c_uint32),
        ("regions", c_uint32),
        ("prompts", c_uint32),
    ]


class PropagateOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("direction", c_uint32),
        ("object", c_uint32),
        ("use_range", c_uint32),
        ("first_slice", c_int64),
        ("last_slice", c_int64),
        ("never_stop", c_uint32),
        ("memory", c_uint32),
        ("windows", c_uint32 * 6),
        ("beams", c_uint32),
        ("include_prompt", c_uint32),
        ("all_pointers", c_uint32),
        ("prior", c_uint32),
        ("field_of_view", c_uint32),
        ("presence_threshold", c_float),
        ("accept_iou", c_float),
        ("intensity_weight", c_float),
    ]


class Progress(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("object", c_uint32),
        ("slice", c_int64),
        ("done", c_uint64),
        ("expected", c_uint64),
        ("score", c_double),
        ("found", c_uint32),
        ("reserved", c_uint32),
    ]


class JobState(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_uint32),
        ("running", c_uint32),
        ("done", c_uint64),
        ("expected", c_uint64),
        ("status", c_int32),
        ("reserved", c_uint32),
    ]


class SliceResult(ctypes.Structure):
    _fields_ = [
        ("object", c_uint32),
        ("found", c_uint32),
        ("slice", c_int64),
        ("score", c_double),
    ]


STRUCTS = {
    "promem_model_options": ModelOptions,
    "promem_model_info": ModelInfo,
    "promem_volume": Volume,
    "promem_session_options": SessionOptions,
    "promem_prompt": Prompt,
    "promem_propagate_options": PropagateOptions,
    "promem_progress": Progress,
    "promem_job_state": JobState,
    "promem_slice_result": SliceResult,
}
OPAQUE = {"promem_model": Model, "promem_session": Session, "promem_job": Job}

LogCallback = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_char_p, c_void_p)
ProgressCallback = ctypes.CFUNCTYPE(c_int32, POINTER(Progress), c_void_p)
CALLBACKS = {"promem_log_callback": LogCallback, "promem_progress_callback": ProgressCallback}

_MODEL, _SESSION, _JOB = POINTER(Model), POINTER(Session), POINTER(Job)
_INDICES, _BYTES, _TEXT = POINTER(c_int64), POINTER(c_uint8), c_char_p
_COUNT, _SIZE = POINTER(ctypes.c_size_t), POINTER(c_uint64)

# promem_status, as a result.
STATUS = c_int32

# Name: the result, the arguments.
PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "promem_status_name": (_TEXT, (c_int32,)),
    "promem_last_error_message": (_TEXT, ()),
    "promem_abi_version": (c_uint32, ()),
    "promem_version": (_TEXT, ()),
    "promem_libtorch_version": (_TEXT, ()),
    "promem_device_count": (c_uint32, ()),
    "promem_device_name": (_TEXT, (c_uint32,)),
    "promem_set_thread_count": (STATUS, (c_uint32,)),
    "promem_thread_count": (c_uint32, ()),
    "promem_set_log_callback": (STATUS, (LogCallback, c_void_p, c_int32)),
    "promem_model_options_init": (STATUS, (POINTER(ModelOptions), ctypes.c_size_t)),
    "promem_model_load": (STATUS, (_TEXT, POINTER(ModelOptions), POINTER(_MODEL))),
    "promem_model_describe": (STATUS, (_MODEL, POINTER(ModelInfo))),
    "promem_model_metadata": (STATUS, (_MODEL, _TEXT, POINTER(_TEXT))),
    "promem_model_free": (None, (_MODEL,)),
    "promem_volume_init": (STATUS, (POINTER(Volume), ctypes.c_size_t)),
    "promem_session_options_init": (STATUS, (POINTER(SessionOptions), ctypes.c_size_t)),
    "promem_session_new": (STATUS, (_MODEL, POINTER(Volume), POINTER(SessionOptions), POINTER(_SESSION))),
    "promem_session_free": (None, (_SESSION,)),
    "promem_session_slices": (STATUS, (_SESSION, POINTER(c_uint32), _SIZE, _SIZE, _SIZE)),
    "promem_session_set_axis": (STATUS, (_SESSION, c_uint32)),
    "promem_session_set_window": (STATUS, (_SESSION, c_double, c_double)),
    "promem_session_set_cache_limit": (STATUS, (_SESSION, c_uint64)),
    "promem_session_reset": (STATUS, (_SESSION,)),
    "promem_session_add_point": (STATUS, (_SESSION, c_uint32, _INDICES, c_uint32)),
    "promem_session_add_box": (STATUS, (_SESSION, c_uint32, _INDICES, _INDICES)),
    "promem_session_add_mask": (STATUS, (_SESSION, c_uint32, c_int64, _BYTES, ctypes.c_size_t)),
    "promem_session_add_scribble": (STATUS, (_SESSION, c_uint32, _INDICES, ctypes.c_size_t, c_uint32)),
    "promem_session_add_lasso": (STATUS, (_SESSION, c_uint32, _INDICES, ctypes.c_size_t, c_uint32)),
    "promem_session_add_box_3d": (STATUS, (_SESSION, c_uint32, _INDICES, _INDICES, c_uint32)),
    "promem_session_set_initial": (STATUS, (_SESSION, POINTER(c_uint16), ctypes.c_size_t)),
    "promem_session_undo": (STATUS, (_SESSION, c_uint32, POINTER(c_uint32))),
    "promem_session_remove_slice": (STATUS, (_SESSION, c_uint32, c_int64)),
    "promem_session_remove_object": (STATUS, (_SESSION, c_uint32)),
    "promem_session_clear_prompts": (STATUS, (_SESSION,)),
    "promem_session_prompt_count": (STATUS, (_SESSION, _COUNT)),
    "promem_session_list_prompts": (STATUS, (_SESSION, POINTER(Prompt), ctypes.c_size_t)),
    "promem_propagate_options_init": (STATUS, (POINTER(PropagateOptions), ctypes.c_size_t)),
    "promem_session_predict_slice": (STATUS, (_SESSION, c_uint32, c_int64, _BYTES, ctypes.c_size_t, POINTER(c_double))),
    "promem_session_propagate": (STATUS, (_SESSION, POINTER(PropagateOptions), ProgressCallback, c_void_p)),
    "promem_session_cancel": (STATUS, (_SESSION,)),
    "promem_session_start_propagate": (STATUS, (_SESSION, POINTER(PropagateOptions), POINTER(_JOB))),
    "promem_session_start_precompute": (STATUS, (_SESSION, POINTER(_JOB))),
    "promem_job_poll": (STATUS, (_JOB, POINTER(JobState))),
    "promem_job_take_ready": (STATUS, (_JOB, POINTER(SliceResult), ctypes.c_size_t, _COUNT)),
    "promem_job_cancel": (STATUS, (_JOB,)),
    "promem_job_wait": (STATUS, (_JOB, c_int64, POINTER(JobState))),
    "promem_job_error_message": (_TEXT, (_JOB,)),
    "promem_job_free": (None, (_JOB,)),
    "promem_session_read_labels": (STATUS, (_SESSION, _INDICES, POINTER(c_uint16), ctypes.c_size_t)),
    "promem_session_read_mask": (STATUS, (_SESSION, c_uint32, _INDICES, _BYTES, ctypes.c_size_t)),
    "promem_session_read_scores": (STATUS, (_SESSION, c_uint32, POINTER(c_double), ctypes.c_size_t)),
    "promem_session_take_changes": (STATUS, (_SESSION, _INDICES, POINTER(c_uint32))),
}


def declare(library: ctypes.CDLL) -> None:
    """Gives every function of a loaded library its prototype. AttributeError: one is missing."""
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
