"""What bodies of documents have in common is kept once; the period of a bill has no index beside that of its id.

Bodies that were kept whole stay as they are.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, drop the index."""
    op.create_table(
        "stencil",
        sa.Column("organization_id", TEXT, sa.ForeignKey("organization.id"), nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("pieces", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id"),
        sqlite_strict=True,
    )
    op.drop_index("bill_by_period_key", "bill")
