"""thin slices that became part of a scan, so that one that comes again is known"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "parts",
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["scan_id"], ["scans.id"], name=op.f("fk_parts_scan_id_scans")),
        sa.PrimaryKeyConstraint("content_hash", name=op.f("pk_parts")),
    )
    op.create_index(op.f("ix_parts_scan_id"), "parts", ["scan_id"])
