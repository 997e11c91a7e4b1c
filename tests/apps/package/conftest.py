"""A tiny student and one package of it."""

from tests.package_fixtures import bare_package, package, student, tiny_student_file

__all__ = ["bare_package", "package", "student", "tiny_student_file"]
