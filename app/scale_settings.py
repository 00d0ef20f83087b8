"""The settings for more than one machine. Their descriptions are their documentation, as those of `app.config` are."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from app.setting_types import RedisUrl


class ScaleSettings(BaseSettings):
    """What several copies of the service share."""

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
        description="Where results are remembered: memory, or redis://host:6379/0, for all copies of the service.",
    )
    shared_state: Literal[""] | RedisUrl = Field(
        "",
        description="redis://host:6379/0, by which copies of the service find one another's operations and count the "
        "requests of clients together; empty for one copy.",
    )

    @model_validator(mode="after")
    def _has_bucket(self) -> Self:
        if self.storage == "s3" and not self.s3_bucket.partition("/")[0]:
            raise ValueError("STORAGE=s3 needs S3_BUCKET, the name of a bucket")
        return self
