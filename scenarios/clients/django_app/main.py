"""A Django project, from makemigrations to its pages, as a developer would go about it. Usage: main.py URL. Prints a transcript."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from transcript import feature, run_parts, say

HOME = Path(__file__).parent
ANSWER_LIMIT_SECONDS = 60
LOAD = """from django.core import serializers; from django.db import connection
for row in serializers.deserialize("json", open("authors.json")): row.save()
connection.cursor().execute("select setval('shop_author_id_seq', 7)")"""


class Project:
    """A copy of the project, in which Django writes its migrations."""

    def __init__(self, home):
        self.home = Path(home) / "project"
        shutil.copytree(HOME / "project", self.home, ignore=shutil.ignore_patterns("__pycache__"))

    def manage(self, *arguments):
        """Runs manage.py as a process of its own; its output and its exit code are lines of the transcript."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments, "--no-color"],
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=ANSWER_LIMIT_SECONDS,
            check=False,
        )
        say(
            "manage.py " + " ".join(arguments).replace("\n", "; "),
            done.returncode,
            done.stdout.splitlines(),
            done.stderr.splitlines()[-3:],
        )

    def first(self):
        """The first migrations of the application, and those that come with Django."""
        self.manage("makemigrations", "--name", "first")
        self.manage("migrate")
        self.manage("migrate", "--check")

    def fixture(self):
        """Authors for the migration that fills books, by a fixture."""
        shutil.copy(HOME / "authors.json", self.home / "authors.json")
        if feature("setval_of_query"):
            self.manage("loaddata", "authors.json")
            return
        # loaddata ends with a setval() of a query's result. WORKAROUND: the same by hand.
        self.manage("shell", "--verbosity", "0", "-c", LOAD)

    def second(self):
        """Models change; Django finds out what is to be done; a migration by hand follows; then back and forth."""
        shutil.copy(HOME / "models_second.py", self.home / "shop/models.py")
        self.manage("makemigrations", "--name", "second")
        shutil.copy(HOME / "migration_by_hand.py", self.home / "shop/migrations/0003_by_hand.py")
        shutil.copy(HOME / "migration_index.py", self.home / "shop/migrations/0004_index.py")
        self.manage("migrate")
        self.manage("migrate", "shop", "0001")
        self.manage("migrate")
        self.manage("showmigrations", "shop")

    def application(self):
        """The rest in one process, with the models as they are now."""
        os.chdir(self.home)
        sys.path.insert(0, str(self.home))
        os.environ["DJANGO_SETTINGS_MODULE"] = "site_shop.settings"
        import django

        django.setup()


def main():
    """Everything, in a folder that is removed afterwards."""
    os.environ["DATABASE_URL"] = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="raidb-django-") as home:
        project = Project(home)
        run_parts(project.first, project.fixture, project.second, project.application, end=False)
        from commands import PARTS as commands
        from queries import PARTS as queries
        from writes import PARTS as writes

        run_parts(*writes, *queries, *commands)


main()
