"""What a request asks of a model: which of its tasks, and which of its options."""

from app.types import RequestOptions, Wanted
from models.base import Model, Options, Task

MODEL_OPTIONS = ("task", "prompt", "detail", "min_new_tokens", "max_new_tokens", "num_beams", "segment", "layout",
    "schema", "output_language", "language")  # fmt: skip
OPTIONS = (*MODEL_OPTIONS, "ocr")
"""Those of models, and of pipelines that read."""
_OF_PIPELINES = {Task.READ_LINE: {"segment", "layout", "ocr", "language"}, Task.READ_PAGE: {"ocr"}}
"""Options that a pipeline takes, for the task of its model."""
_TASKS: dict[Wanted, tuple[Task, ...]] = {
    "caption": (Task.CAPTION, Task.GROUNDED_CAPTION),
    "ground": (Task.GROUNDED_CAPTION,),
    "read": (Task.READ_PAGE, Task.READ_LINE),
    "detect": (Task.DETECT,),
    "tag": (Task.TAG,),
    "alt-text": (Task.ALT_TEXT,),
}
"""What a request may ask for, and the tasks of models that it means, the most fitting first."""


def task_of(model: Model, wanted: Wanted | None) -> Task | None:
    """Return what a model does for a request; None if it does not do what is wanted."""
    if wanted is None:
        return model.task
    return next((task for task in _TASKS[wanted] if task in model.tasks), None)


def wanted_of(model: Model) -> list[Wanted]:
    """Return what a request may ask of a model."""
    return [wanted for wanted in _TASKS if task_of(model, wanted) is not None]


def option_names(model: Model, task: Task | None = None) -> frozenset[str]:
    """Return the names of the options that a model takes, alone or in its pipeline, for a task; None for any."""
    own = {name for name in MODEL_OPTIONS if model.takes(name, task)}
    return frozenset(own.union(*(_OF_PIPELINES.get(each, ()) for each in ((task,) if task else model.tasks))))


def taken_options(model: Model, task: Task, options: RequestOptions) -> tuple[Options, list[str]]:
    """Return the options that a model takes for a task, and a warning for each other option that is set."""
    asked = {name: getattr(options, name) for name in (*OPTIONS, "max_length") if name != "task"}
    asked = {name: value for name, value in asked.items() if value is not None}
    known = option_names(model, task) if asked else frozenset()
    taken: dict[str, object] = {}
    warnings = []
    for name, value in asked.items():
        if name in known:
            taken |= {name: value} if name in MODEL_OPTIONS else {}
        else:
            purpose = f" for {task}" if name in option_names(model) else ""
            warnings.append(f"{model.name} does not take {name}{purpose}: ignored")
    return Options(task=task if model.other_tasks else None, **taken), warnings  # type: ignore[arg-type]
