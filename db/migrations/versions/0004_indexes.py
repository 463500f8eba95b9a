"""indexes on what refers to scans and readings, so that a batch can be taken back without reading whole tables"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_scans_resembles_id"), "scans", ["resembles_id"])
    op.create_index(op.f("ix_reviews_reading_id"), "reviews", ["reading_id"])
    op.create_index(op.f("ix_snapshot_items_scan_id"), "snapshot_items", ["scan_id"])
    op.create_index(op.f("ix_snapshot_items_review_id"), "snapshot_items", ["review_id"])
