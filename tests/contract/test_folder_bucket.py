"""A folder of files keeps the contract."""

from pathlib import Path

import pytest

from tests.contract.bucket import BucketContract
from web.services.folder_bucket import Folder


class TestFolderBucket(BucketContract):
    """On a disk."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Folder:
        return Folder(tmp_path / "files")
