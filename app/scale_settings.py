"""The settings for more than one machine. Their descriptions are their documentation, as those of `app.config` are."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from app.setting_types import Amounts, Ranges, RedisUrl


class ScaleSettings(BaseSettings):
    """What several copies of the service share, and what models take of a Ray cluster."""

    storage: Literal["local", "s3"] = Field(
        "local", description="Where images are kept: in IMAGES_DIR, or in S3_BUCKET, for all copies of the service."
    )
    s3_bucket: str = Field(
        "",
        description="Bucket of S3, or of a store like it, for STORAGE=s3, with a prefix after a slash if wanted; boto3 "
        "finds address and credentials in AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and so on.",
    )
    result_cache: Literal["memory"] | RedisUrl = Field(
        "memory",
        description="Where results are cached: memory, or redis://host:6379/0, for all copies of the service.",
    )
    shared_state: Literal[""] | RedisUrl = Field(
        "",
        description="redis://host:6379/0, by which copies of the service find one another's operations and count the "
        "requests of clients together; empty for one copy.",
    )

    engine: Literal["local", "ray"] = Field(
        "local", description="What runs the models: this process, or the Ray cluster at RAY_ADDRESS."
    )
    ray_address: str = Field(
        "",
        description="Ray cluster to join, host:port, or auto for that of this machine; empty starts one on this "
        "machine, which ends with the service.",
    )
    ray_cpus: Amounts = Field(
        {"*": 1.0}, description="name=CPUs,...: what a replica of that model takes of the cluster; * for all others."
    )
    ray_gpus: Amounts = Field(
        {"*": 0.0}, description="name=GPUs,...: likewise; 0.5 puts two replicas on a GPU, 0 runs a model on CPUs."
    )
    ray_replicas: Ranges = Field(
        {"*": (1, 1)},
        description="name=N or name=LEAST-MOST,...: replicas of that model, by how many jobs wait; with 0 as the "
        "least, a model that nobody uses leaves memory; * for all others.",
    )

    @model_validator(mode="after")
    def _has_bucket(self) -> Self:
        if self.storage == "s3" and not self.s3_bucket.partition("/")[0]:
            raise ValueError("STORAGE=s3 needs S3_BUCKET, the name of a bucket")
        return self
