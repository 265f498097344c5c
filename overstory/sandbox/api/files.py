"""``/v1/files``: upload, list, get, delete (fact sheet 4)."""

from __future__ import annotations

import time

from overstory.sandbox.account.file_store import StoredFile, check_upload, new_id
from overstory.sandbox.api.handler import ClientGone, Handler
from overstory.sandbox.config import FaultKind
from overstory.sandbox.errors import Refusal, wrong_param
from overstory.sandbox.faults import refusal_of
from overstory.sandbox.protocol.image_sources import download
from overstory.sandbox.state import Account
from overstory.sandbox.vision.describe import Description


class Files(Handler):
    """``/v1/files``."""

    async def post(self) -> None:
        """Store one file. It is decoded and described now, so that chat calls need not do it."""
        account = self.account()
        self.state.check_open(paid=True)
        try:
            await self.pause(self.config.upload_latency_seconds)
            fault = self._fault()
            if fault is FaultKind.RESET:
                return self.hang_up(reset=True)
            file = await self._file()
            await self._keep(account, file, fault)
        except ClientGone:
            return None
        return None

    async def _keep(self, account: Account, file: StoredFile, fault: FaultKind | None) -> None:
        account.files.add(file, self.config.max_files)
        self.state.ledger.note("upload", account.name, id=file.id, sha=file.sha, bytes=file.bytes)
        if fault is FaultKind.CUT:
            self.set_header("Content-Length", "200")
            await self.push("{")
            return self.hang_up()
        return self.send(file.card(self.config.file_status))

    def _fault(self) -> FaultKind | None:
        if "files" not in self.config.faults_on:
            return None
        fault = self.state.faults.draw(self.config)
        refusal = refusal_of(fault, self.config)
        if refusal:
            raise refusal
        return fault

    async def _file(self) -> StoredFile:
        name, data = await self._name_and_data()
        check_upload(self.get_body_argument("purpose", None), data, self.config)
        sha, description = await self._described(data)
        return StoredFile(new_id(), len(data), int(time.time()), name, sha, description)

    async def _name_and_data(self) -> tuple[str, bytes]:
        """The file's name and bytes. A ``file`` takes precedence over a ``url``."""
        files = self.request.files.get("file")
        if files:
            return files[0]["filename"], files[0]["body"]
        url = self.get_body_argument("url", "")
        if not url:
            raise wrong_param("file or url is required")
        return url.rsplit("/", 1)[-1], await download(url, self.config)

    async def _described(self, data: bytes) -> tuple[str, Description | None]:
        try:
            picture = await self.state.decoder.decode(data)
        except Refusal:  # a broken image is stored like any file, and refused when used
            return await self.state.decoder.sha(data), None
        return picture.sha, picture.description

    def get(self) -> None:
        files = self.account().files.all()
        cards = [file.card(self.config.file_status) for file in files]
        self.send({"object": "list", "data": cards})


class File(Handler):
    """``/v1/files/{id}``."""

    def get(self, file_id: str) -> None:
        self.send(self.account().files.get(file_id).card(self.config.file_status))

    def delete(self, file_id: str) -> None:
        account = self.account()
        account.files.delete(file_id)
        self.state.ledger.note("delete", account.name, id=file_id)
        self.send({"id": file_id, "object": "file", "deleted": True})


class Content(Handler):
    """``/v1/files/{id}/content``: refused, since files of purpose storage have no content."""

    def get(self, file_id: str) -> None:
        self.account().files.get(file_id)
        raise wrong_param("content is only available for purpose file-extract")
