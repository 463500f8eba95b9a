"""whom a model's answer was shown before their verdict"""

import sqlalchemy as sa
from alembic import op
import db.models

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shown",
        sa.Column("scan_id", sa.Integer(), nullable=False),
        sa.Column("reader", sa.String(length=80), nullable=False),
        sa.Column("at", db.models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["scan_id"], ["scans.id"], name=op.f("fk_shown_scan_id_scans")),
        sa.PrimaryKeyConstraint("scan_id", "reader", name=op.f("pk_shown")),
    )


def downgrade() -> None:
    op.drop_table("shown")
