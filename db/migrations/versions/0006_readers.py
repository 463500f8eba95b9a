"""indexes on who reviewed and on what was done, which every page asks for"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_reviews_reader"), "reviews", ["reader"])
    op.create_index(op.f("ix_audit_events_action"), "audit_events", ["action"])
