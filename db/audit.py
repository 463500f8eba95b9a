"""The audit chain: an append-only list in which a changed, removed or inserted row shows."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import AuditEvent, now

GENESIS = "0" * 64


def append(session: Session, actor: str, action: str, detail: dict[str, Any]) -> None:
    """Add one event to the chain, in the caller's transaction."""
    last = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).first()
    previous, at = (last.digest if last else GENESIS), now()
    digest = _digest(previous, at, actor, action, detail)
    session.add(AuditEvent(at=at, actor=actor, action=action, detail=detail, previous=previous, digest=digest))
    session.flush()


def last(session: Session, *actions: str) -> dict[str, Any] | None:
    """What the latest event of these kinds says; None where there is none."""
    query = select(AuditEvent.detail).where(AuditEvent.action.in_(actions)).order_by(AuditEvent.id.desc()).limit(1)
    return session.scalar(query)


def details(session: Session, *actions: str, actor: str | None = None) -> Sequence[dict[str, Any]]:
    """What all events of these kinds say, or those that somebody has caused, in their order."""
    query = select(AuditEvent.detail).where(AuditEvent.action.in_(actions))
    if actor is not None:
        query = query.where(AuditEvent.actor == actor)
    return session.scalars(query.order_by(AuditEvent.id)).all()


def beginning(session: Session) -> str:
    """The digest of the first event, which no two case logs share; a restored one keeps it."""
    return session.scalars(select(AuditEvent.digest).order_by(AuditEvent.id).limit(1)).one()


def first_break(session: Session) -> int | None:
    """The id of the first event that does not follow from the one before; None where the chain holds."""
    previous = GENESIS
    for event in session.scalars(select(AuditEvent).order_by(AuditEvent.id)):
        expected = _digest(previous, event.at, event.actor, event.action, event.detail)
        if event.previous != previous or event.digest != expected:
            return event.id
        previous = event.digest
    return None


def _digest(previous: str, at: datetime, actor: str, action: str, detail: dict[str, Any]) -> str:
    text = json.dumps([previous, at.isoformat(), actor, action, detail], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
