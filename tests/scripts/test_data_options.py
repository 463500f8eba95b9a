from tests.scripts.test_commands import run


def test_a_mistyped_class_in_a_translation_is_refused(home, class_folders):
    failed = run("audit_data", "--data", class_folders, "--map", "bleed=hemorrage", check=False)
    assert failed.returncode == 2
    assert "hemorrage is no class" in failed.stderr


def test_an_audit_of_nothing_says_what_to_name(home):
    failed = run("audit_data", check=False)
    assert failed.returncode == 2
    assert "--data" in failed.stderr
