"""what a scan looks like from afar, and which it resembles"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not as a batch: that makes the table anew, and SQLite, told to keep foreign keys, does not let the old one go.
    op.add_column("scans", sa.Column("look", sa.LargeBinary(), nullable=True))
    op.execute(
        "ALTER TABLE scans ADD COLUMN resembles_id INTEGER "
        "CONSTRAINT fk_scans_resembles_id_scans REFERENCES scans (id)"
    )
