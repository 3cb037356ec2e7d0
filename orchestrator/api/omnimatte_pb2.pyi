import datetime

from google.api import field_behavior_pb2 as _field_behavior_pb2
from google.api import resource_pb2 as _resource_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Job(_message.Message):
    __slots__ = ("name", "spec", "state", "error", "result", "create_time", "start_time", "end_time", "spec_digest", "sequence", "progress", "waiting")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Job.State]
        QUEUED: _ClassVar[Job.State]
        RUNNING: _ClassVar[Job.State]
        CANCELLING: _ClassVar[Job.State]
        SUCCEEDED: _ClassVar[Job.State]
        FAILED: _ClassVar[Job.State]
        CANCELLED: _ClassVar[Job.State]
    STATE_UNSPECIFIED: Job.State
    QUEUED: Job.State
    RUNNING: Job.State
    CANCELLING: Job.State
    SUCCEEDED: Job.State
    FAILED: Job.State
    CANCELLED: Job.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SPEC_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    name: str
    spec: JobSpec
    state: Job.State
    error: _status_pb2.Status
    result: JobResult
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    spec_digest: str
    sequence: int
    progress: _containers.RepeatedCompositeFieldContainer[StageProgress]
    waiting: Waiting
    def __init__(self, name: _Optional[str] = ..., spec: _Optional[_Union[JobSpec, _Mapping]] = ..., state: _Optional[_Union[Job.State, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., result: _Optional[_Union[JobResult, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., spec_digest: _Optional[str] = ..., sequence: _Optional[int] = ..., progress: _Optional[_Iterable[_Union[StageProgress, _Mapping]]] = ..., waiting: _Optional[_Union[Waiting, _Mapping]] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("reason", "message", "ahead")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    ahead: int
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., ahead: _Optional[int] = ...) -> None: ...

class JobSpec(_message.Message):
    __slots__ = ("source", "objects", "preserve", "options", "scheduling", "allow_partial")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULING_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    source: File
    objects: _containers.RepeatedCompositeFieldContainer[Object]
    preserve: File
    options: Options
    scheduling: Scheduling
    allow_partial: bool
    def __init__(self, source: _Optional[_Union[File, _Mapping]] = ..., objects: _Optional[_Iterable[_Union[Object, _Mapping]]] = ..., preserve: _Optional[_Union[File, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., scheduling: _Optional[_Union[Scheduling, _Mapping]] = ..., allow_partial: _Optional[bool] = ...) -> None: ...

class Scheduling(_message.Message):
    __slots__ = ("priority", "timeout")
    class Class(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CLASS_UNSPECIFIED: _ClassVar[Scheduling.Class]
        INTERACTIVE: _ClassVar[Scheduling.Class]
        BATCH: _ClassVar[Scheduling.Class]
    CLASS_UNSPECIFIED: Scheduling.Class
    INTERACTIVE: Scheduling.Class
    BATCH: Scheduling.Class
    CLASS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    priority: int
    timeout: _duration_pb2.Duration
    def __init__(self, priority: _Optional[int] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., **kwargs) -> None: ...

class File(_message.Message):
    __slots__ = ("digest", "filename")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    digest: str
    filename: str
    def __init__(self, digest: _Optional[str] = ..., filename: _Optional[str] = ...) -> None: ...

class Object(_message.Message):
    __slots__ = ("label", "mask", "prompts", "occluder")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    OCCLUDER_FIELD_NUMBER: _ClassVar[int]
    label: str
    mask: File
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    occluder: bool
    def __init__(self, label: _Optional[str] = ..., mask: _Optional[_Union[File, _Mapping]] = ..., prompts: _Optional[_Iterable[_Union[Prompt, _Mapping]]] = ..., occluder: _Optional[bool] = ...) -> None: ...

class Prompt(_message.Message):
    __slots__ = ("frame", "box", "point", "negative")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    frame: int
    box: Box
    point: Point
    negative: bool
    def __init__(self, frame: _Optional[int] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., point: _Optional[_Union[Point, _Mapping]] = ..., negative: _Optional[bool] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x0", "y0", "x1", "y1")
    X0_FIELD_NUMBER: _ClassVar[int]
    Y0_FIELD_NUMBER: _ClassVar[int]
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    x0: float
    y0: float
    x1: float
    y1: float
    def __init__(self, x0: _Optional[float] = ..., y0: _Optional[float] = ..., x1: _Optional[float] = ..., y1: _Optional[float] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("seed", "profile", "formats", "steps", "long_side", "schedule", "models", "casper", "region", "delivery")
    class ModelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SEED_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LONG_SIDE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CASPER_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    seed: int
    profile: str
    formats: _containers.RepeatedScalarFieldContainer[str]
    steps: int
    long_side: int
    schedule: str
    models: _containers.ScalarMap[str, str]
    casper: CasperOptions
    region: str
    delivery: Delivery
    def __init__(self, seed: _Optional[int] = ..., profile: _Optional[str] = ..., formats: _Optional[_Iterable[str]] = ..., steps: _Optional[int] = ..., long_side: _Optional[int] = ..., schedule: _Optional[str] = ..., models: _Optional[_Mapping[str, str]] = ..., casper: _Optional[_Union[CasperOptions, _Mapping]] = ..., region: _Optional[str] = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("start_frame", "name", "png_bits", "exr_compression", "color", "exr_color", "preview_color")
    START_FRAME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PNG_BITS_FIELD_NUMBER: _ClassVar[int]
    EXR_COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    EXR_COLOR_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_COLOR_FIELD_NUMBER: _ClassVar[int]
    start_frame: int
    name: str
    png_bits: int
    exr_compression: str
    color: str
    exr_color: str
    preview_color: str
    def __init__(self, start_frame: _Optional[int] = ..., name: _Optional[str] = ..., png_bits: _Optional[int] = ..., exr_compression: _Optional[str] = ..., color: _Optional[str] = ..., exr_color: _Optional[str] = ..., preview_color: _Optional[str] = ...) -> None: ...

class CasperOptions(_message.Message):
    __slots__ = ("tier", "prompt", "size", "image_context", "runs_together")
    TIER_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RUNS_TOGETHER_FIELD_NUMBER: _ClassVar[int]
    tier: str
    prompt: str
    size: str
    image_context: str
    runs_together: int
    def __init__(self, tier: _Optional[str] = ..., prompt: _Optional[str] = ..., size: _Optional[str] = ..., image_context: _Optional[str] = ..., runs_together: _Optional[int] = ...) -> None: ...

class JobResult(_message.Message):
    __slots__ = ("files", "recomposition_psnr", "frames", "width", "height", "address", "failures")
    FILES_FIELD_NUMBER: _ClassVar[int]
    RECOMPOSITION_PSNR_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[ResultFile]
    recomposition_psnr: float
    frames: int
    width: int
    height: int
    address: str
    failures: _containers.RepeatedCompositeFieldContainer[ObjectFailure]
    def __init__(self, files: _Optional[_Iterable[_Union[ResultFile, _Mapping]]] = ..., recomposition_psnr: _Optional[float] = ..., frames: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., address: _Optional[str] = ..., failures: _Optional[_Iterable[_Union[ObjectFailure, _Mapping]]] = ...) -> None: ...

class ObjectFailure(_message.Message):
    __slots__ = ("label", "error")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    label: str
    error: _status_pb2.Status
    def __init__(self, label: _Optional[str] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class ResultFile(_message.Message):
    __slots__ = ("path", "size_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("sequence", "time", "job", "progress")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    job: Job
    progress: StageProgress
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., job: _Optional[_Union[Job, _Mapping]] = ..., progress: _Optional[_Union[StageProgress, _Mapping]] = ...) -> None: ...

class StageProgress(_message.Message):
    __slots__ = ("stage", "subject", "state", "done", "total", "note", "elapsed", "error", "losses", "preview")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[StageProgress.State]
        QUEUED: _ClassVar[StageProgress.State]
        RUNNING: _ClassVar[StageProgress.State]
        DONE: _ClassVar[StageProgress.State]
        CACHED: _ClassVar[StageProgress.State]
        FAILED: _ClassVar[StageProgress.State]
        CANCELLED: _ClassVar[StageProgress.State]
    STATE_UNSPECIFIED: StageProgress.State
    QUEUED: StageProgress.State
    RUNNING: StageProgress.State
    DONE: StageProgress.State
    CACHED: StageProgress.State
    FAILED: StageProgress.State
    CANCELLED: StageProgress.State
    class LossesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    stage: str
    subject: str
    state: StageProgress.State
    done: int
    total: int
    note: str
    elapsed: _duration_pb2.Duration
    error: _status_pb2.Status
    losses: _containers.ScalarMap[str, float]
    preview: bytes
    def __init__(self, stage: _Optional[str] = ..., subject: _Optional[str] = ..., state: _Optional[_Union[StageProgress.State, str]] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., note: _Optional[str] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., losses: _Optional[_Mapping[str, float]] = ..., preview: _Optional[bytes] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("filename", "chunk", "finish_write", "upload", "offset", "digest")
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FINISH_WRITE_FIELD_NUMBER: _ClassVar[int]
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    filename: str
    chunk: bytes
    finish_write: bool
    upload: str
    offset: int
    digest: str
    def __init__(self, filename: _Optional[str] = ..., chunk: _Optional[bytes] = ..., finish_write: _Optional[bool] = ..., upload: _Optional[str] = ..., offset: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class StartUploadRequest(_message.Message):
    __slots__ = ("filename", "size_bytes", "digest")
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    filename: str
    size_bytes: int
    digest: str
    def __init__(self, filename: _Optional[str] = ..., size_bytes: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class UploadSession(_message.Message):
    __slots__ = ("name", "file", "size_bytes", "received_bytes", "complete", "expire_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    file: File
    size_bytes: int
    received_bytes: int
    complete: bool
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., file: _Optional[_Union[File, _Mapping]] = ..., size_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., complete: _Optional[bool] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteUploadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("file", "size_bytes")
    FILE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    file: File
    size_bytes: int
    def __init__(self, file: _Optional[_Union[File, _Mapping]] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class CreateJobRequest(_message.Message):
    __slots__ = ("job", "request_id")
    JOB_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    job: Job
    request_id: str
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchCreateJobsRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[CreateJobRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[CreateJobRequest, _Mapping]]] = ...) -> None: ...

class BatchCreateJobsResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[CreateJobOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[CreateJobOutcome, _Mapping]]] = ...) -> None: ...

class CreateJobOutcome(_message.Message):
    __slots__ = ("job", "error")
    JOB_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    job: Job
    error: _status_pb2.Status
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class EstimateJobRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class JobEstimate(_message.Message):
    __slots__ = ("stages", "processor_time", "critical_path", "jobs_ahead")
    STAGES_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_TIME_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_PATH_FIELD_NUMBER: _ClassVar[int]
    JOBS_AHEAD_FIELD_NUMBER: _ClassVar[int]
    stages: _containers.RepeatedCompositeFieldContainer[StageEstimate]
    processor_time: _duration_pb2.Duration
    critical_path: _duration_pb2.Duration
    jobs_ahead: int
    def __init__(self, stages: _Optional[_Iterable[_Union[StageEstimate, _Mapping]]] = ..., processor_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., critical_path: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., jobs_ahead: _Optional[int] = ...) -> None: ...

class StageEstimate(_message.Message):
    __slots__ = ("stage", "subject", "model", "cached", "processor_time", "basis")
    class Basis(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BASIS_UNSPECIFIED: _ClassVar[StageEstimate.Basis]
        MEASURED: _ClassVar[StageEstimate.Basis]
        ASSUMED: _ClassVar[StageEstimate.Basis]
    BASIS_UNSPECIFIED: StageEstimate.Basis
    MEASURED: StageEstimate.Basis
    ASSUMED: StageEstimate.Basis
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_TIME_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    stage: str
    subject: str
    model: str
    cached: bool
    processor_time: _duration_pb2.Duration
    basis: StageEstimate.Basis
    def __init__(self, stage: _Optional[str] = ..., subject: _Optional[str] = ..., model: _Optional[str] = ..., cached: _Optional[bool] = ..., processor_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., basis: _Optional[_Union[StageEstimate.Basis, str]] = ...) -> None: ...

class PreviewMasksRequest(_message.Message):
    __slots__ = ("source", "objects", "frame", "options")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    source: File
    objects: _containers.RepeatedCompositeFieldContainer[Object]
    frame: int
    options: Options
    def __init__(self, source: _Optional[_Union[File, _Mapping]] = ..., objects: _Optional[_Iterable[_Union[Object, _Mapping]]] = ..., frame: _Optional[int] = ..., options: _Optional[_Union[Options, _Mapping]] = ...) -> None: ...

class PreviewMasksResponse(_message.Message):
    __slots__ = ("masks",)
    MASKS_FIELD_NUMBER: _ClassVar[int]
    masks: _containers.RepeatedCompositeFieldContainer[MaskPreview]
    def __init__(self, masks: _Optional[_Iterable[_Union[MaskPreview, _Mapping]]] = ...) -> None: ...

class MaskPreview(_message.Message):
    __slots__ = ("label", "png", "coverage")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    label: str
    png: bytes
    coverage: float
    def __init__(self, label: _Optional[str] = ..., png: _Optional[bytes] = ..., coverage: _Optional[float] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("name", "read_mask")
    NAME_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    name: str
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, name: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "read_mask")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[Job.State]
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[Job.State, str]]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("name", "after_sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    after_sequence: int
    def __init__(self, name: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DownloadRequest(_message.Message):
    __slots__ = ("name", "paths")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ...) -> None: ...

class DownloadResponse(_message.Message):
    __slots__ = ("path", "size_bytes", "offset", "chunk")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    path: str
    size_bytes: int
    offset: int
    chunk: bytes
    def __init__(self, path: _Optional[str] = ..., size_bytes: _Optional[int] = ..., offset: _Optional[int] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ComposeRequest(_message.Message):
    __slots__ = ("job", "edit")
    JOB_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    job: str
    edit: str
    def __init__(self, job: _Optional[str] = ..., edit: _Optional[str] = ...) -> None: ...

class ComposeResponse(_message.Message):
    __slots__ = ("progress", "piece")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    progress: StageProgress
    piece: DownloadResponse
    def __init__(self, progress: _Optional[_Union[StageProgress, _Mapping]] = ..., piece: _Optional[_Union[DownloadResponse, _Mapping]] = ...) -> None: ...

class SignUrlsRequest(_message.Message):
    __slots__ = ("name", "paths", "ttl")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    ttl: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SignUrlsResponse(_message.Message):
    __slots__ = ("urls", "expire_time")
    URLS_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    urls: _containers.RepeatedCompositeFieldContainer[SignedUrl]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, urls: _Optional[_Iterable[_Union[SignedUrl, _Mapping]]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SignedUrl(_message.Message):
    __slots__ = ("path", "url")
    PATH_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    path: str
    url: str
    def __init__(self, path: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...
