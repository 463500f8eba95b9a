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
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("reader", sa.String(length=80), nullable=False),
        sa.Column("at", db.models.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", "reader", name=op.f("pk_shown")),
    )
