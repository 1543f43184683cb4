"""`python manage.py migrate` brings the database to this version's state."""

import sys

from pote.database import migrate

if sys.argv[1:] == ["migrate"]:
    migrate()
else:
    sys.exit(__doc__)
