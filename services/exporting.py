"""What leaves the case log as a file is written down there."""

from db import audit
from services.workspace import Workspace


def exported(ws: Workspace, content: str, *, actor: str, file: str, scans: int) -> str:
    """`content` of a file of that name about so many scans, which `actor` takes out; an event of the audit chain."""
    with ws.db.writing() as session:
        audit.append(session, actor, "export", {"file": file, "scans": scans})
    return content
