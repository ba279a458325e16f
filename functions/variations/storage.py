"""Keep pictures and manifests in S3: fetch a source, store each result once, list what is stored already."""

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import ConfigurationError, SourceNotFound, SourceTooLarge, StorageFailed
from .model import Picture, SourceLocation, SourceObject, Variation
from .orders import is_job_id

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

RESULTS = "the results bucket"  # by which callers hear of it
URL_SECONDS = 3600  # OpenAI's own result URLs live for 60 minutes


@dataclass(frozen=True)
class Storage:
    """The results bucket, and whichever bucket a source lies in."""

    client: "S3Client"
    results_bucket: str

    def fetch_source(self, location: SourceLocation, *, max_bytes: int) -> SourceObject:
        """Read a source image and its user metadata.

        Args:
            location: with `etag` set, only that very upload will do; with `version_id`, that version is read.
            max_bytes: larger objects are refused before a byte of them is read.

        Raises:
            SourceNotFound: no such object, or it was replaced since.
            SourceTooLarge: more than `max_bytes`.
            StorageFailed: S3 failed. ConfigurationError: we may not read there.
        """
        version = {"VersionId": location.version_id} if location.version_id else {}
        with _translated(f"s3://{location.bucket}/{location.key}"):
            found = self.client.get_object(Bucket=location.bucket, Key=location.key, **version)  # type: ignore[arg-type]
            with closing(found["Body"]) as body:
                etag = found["ETag"].strip('"')
                if location.etag and etag != location.etag:
                    raise SourceNotFound("The source was replaced by a newer upload, which is a job of its own.")
                if found["ContentLength"] > max_bytes:
                    raise SourceTooLarge(
                        f"The source has {found['ContentLength']} bytes; this stack takes up to {max_bytes} "
                        "(MaxSourceBytes)."
                    )
                return SourceObject(location, body.read(), etag, found["Metadata"])

    def store_result(self, prefix: str, number: int, picture: Picture, metadata: Mapping[str, str]) -> Variation:
        """Write one variation, unless it was written before.

        Args:
            prefix: where the job's results go, without a slash at the end.
            number: 1 to 10, the place of the variation in the job.
            picture: png, jpeg or webp.
            metadata: ASCII texts, kept on the object beside its size in pixels and its SHA-256.

        Raises:
            StorageFailed: S3 failed. ConfigurationError: we may not write there.
        """
        digest = hashlib.sha256(picture.content)
        variation = Variation(
            key=f"{prefix}/variation-{number:02}.{picture.content_type.removeprefix('image/')}",
            content_type=picture.content_type,
            bytes=len(picture.content),
            width=picture.width,
            height=picture.height,
            sha256=digest.hexdigest(),
        )
        marks = {"width": str(picture.width), "height": str(picture.height), "sha256": variation.sha256}
        with _translated(RESULTS):
            try:
                self._put(
                    variation.key,
                    picture.content,
                    digest.digest(),
                    ContentType=picture.content_type,
                    Metadata={**metadata, **marks},
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _code(error) != "PreconditionFailed":
                    raise
                return self._read_result(variation.key)  # a crashed attempt stored it: that one counts
        return variation

    def list_results(self, prefix: str) -> dict[int, Variation]:
        """Return the variations a job has stored already, by their number."""
        with _translated(RESULTS):
            listed = self.client.list_objects_v2(Bucket=self.results_bucket, Prefix=f"{prefix}/variation-")
            keys = [entry["Key"] for entry in listed.get("Contents", [])]
            return {int(key.rpartition("-")[2].partition(".")[0]): self._read_result(key) for key in keys}

    def store_source(self, key: str, content: bytes) -> None:
        """Write a source that came in over HTTP into the results bucket, where no upload rule sees it."""
        with _translated(RESULTS):
            self._put(key, content, hashlib.sha256(content).digest())

    def find_etag(self, location: SourceLocation) -> str:
        """Return the ETag of an object, without reading it.

        Raises:
            SourceNotFound: there is none.
        """
        with _translated(f"s3://{location.bucket}/{location.key}"):
            return self.client.head_object(Bucket=location.bucket, Key=location.key)["ETag"].strip('"')

    def read_result(self, key: str) -> bytes:
        """Read the bytes of an object in the results bucket."""
        with _translated(f"{key} in {RESULTS}"):
            found = self.client.get_object(Bucket=self.results_bucket, Key=key)
            with closing(found["Body"]) as body:
                return body.read()

    def presign_result(self, key: str) -> str:
        """Return a URL that shows a result for URL_SECONDS at most.

        A URL that is signed with a Lambda role's credentials dies with their session, which may be sooner.
        """
        url: str = self.client.generate_presigned_url(
            "get_object", Params={"Bucket": self.results_bucket, "Key": key}, ExpiresIn=URL_SECONDS
        )
        return url

    def presign_upload(self, location: SourceLocation, *, content_type: str, max_bytes: int) -> dict[str, Any]:
        """Return `{"url", "fields"}` of a form that uploads one object of this type and at most so many bytes."""
        return dict(
            self.client.generate_presigned_post(
                location.bucket,
                location.key,
                Fields={"Content-Type": content_type},
                Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_bytes]],
                ExpiresIn=URL_SECONDS,
            )
        )

    def store_manifest(self, prefix: str, manifest: Mapping[str, Any]) -> None:
        """Write manifest.json, the last object of a finished job."""
        content = json.dumps(manifest, indent=2, ensure_ascii=False).encode(errors="replace")
        with _translated(RESULTS):
            self._put(
                f"{prefix}/manifest.json", content, hashlib.sha256(content).digest(), ContentType="application/json"
            )

    def read_manifest(self, prefix: str) -> dict[str, Any]:
        """Read the manifest of a finished job."""
        manifest: dict[str, Any] = json.loads(self.read_result(f"{prefix}/manifest.json"))
        return manifest

    def read_manifests_beside(self, source_key: str) -> Iterator[dict[str, Any]]:
        """Yield the manifests of all ended jobs whose results lie beside a source, up to a thousand of them."""
        with _translated(RESULTS):
            listed = self.client.list_objects_v2(Bucket=self.results_bucket, Prefix=f"{source_key}/", Delimiter="/")
        folders = [entry["Prefix"].removesuffix("/") for entry in listed.get("CommonPrefixes", [])]
        for folder in folders:
            if is_job_id(folder.rpartition("/")[2]):
                with contextlib.suppress(SourceNotFound):  # a job that is still running
                    yield self.read_manifest(folder)

    def _put(self, key: str, content: bytes, digest: bytes, **named: Any) -> None:
        # S3 checks the digest; without one botocore computes a checksum of its own, and wraps the body for it.
        checksum = base64.b64encode(digest).decode()
        self.client.put_object(Bucket=self.results_bucket, Key=key, Body=content, ChecksumSHA256=checksum, **named)

    def _read_result(self, key: str) -> Variation:
        head = self.client.head_object(Bucket=self.results_bucket, Key=key)
        marks = head["Metadata"]
        return Variation(
            key=key,
            content_type=head["ContentType"],
            bytes=head["ContentLength"],
            width=int(marks["width"]),
            height=int(marks["height"]),
            sha256=marks["sha256"],
        )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _translated(place: str) -> Iterator[None]:
    """Turn botocore's exceptions into the error tree."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in {"NoSuchKey", "NoSuchVersion", "404"}:
            raise SourceNotFound(f"There is no object {place} any more.") from error
        if code == "InvalidObjectState":
            raise SourceNotFound(f"{place} is archived (Glacier). Restore it, then upload it again.") from error
        if code in {"AccessDenied", "403", "NoSuchBucket", "KMS.DisabledException"}:
            raise ConfigurationError(f"S3 refuses {place}: {code}. Check the function's permissions.") from error
        raise StorageFailed(f"S3 failed on {place}.", detail=code) from error
    except BotoCoreError as error:
        raise StorageFailed(f"S3 failed on {place}.", detail=type(error).__name__) from error
