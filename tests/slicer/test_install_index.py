"""Which package index is asked, and which wheels are chosen from it."""

import os
import sys

import package_index
import pytest
from package_index import CUPTI, RUNTIME, TORCH, TORCH_CPU
from promem.install import InstallError, plan, settings

pytest_plugins = ["install_fixtures"]
pytestmark = pytest.mark.usefixtures("own_environment")


def names(planned):
    return [artifact.name for artifact in planned.artifacts]


def test_the_plan_names_folder_source_wheels_and_sizes(index, wheels, tmp_path):
    planned = plan(tmp_path / "here")
    assert names(planned) == [TORCH, RUNTIME, CUPTI]
    assert planned.folder == str(tmp_path / "here") and planned.source == index.address
    sizes = [(wheels / name).stat().st_size for name in (TORCH, RUNTIME, CUPTI)]
    assert [artifact.size for artifact in planned.artifacts] == sizes
    assert planned.download == planned.remaining == sum(sizes)
    assert planned.unpacked > 200_000_000 and planned.needed == planned.download + planned.unpacked
    assert planned.free > 0 and not planned.installed
    for part in (
        "libtorch 2.11.0",
        str(tmp_path / "here"),
        index.address,
        TORCH,
        "to download",
        "when unpacked",
        "of disk space are needed",
    ):
        assert part in planned.text
    assert index.asked == [], "a plan downloads no wheel"
    assert not (tmp_path / "here").exists() and not list(tmp_path.glob("here.*"))


def test_a_plan_survives_json(index):
    planned = plan()
    assert type(planned).from_dict(planned.as_dict()) == planned


def test_a_wheel_for_cpus_alone_is_preferred_and_needs_no_companions(index, wheels):
    package_index.zipped(wheels / TORCH_CPU, package_index.torch_files("+cpu"))
    assert names(plan()) == [TORCH_CPU]


def test_a_wheel_for_cpus_alone_is_found_in_an_extra_index(index, tmp_path, monkeypatch):
    folder = tmp_path / "extra"
    folder.mkdir()
    package_index.zipped(folder / TORCH_CPU, package_index.torch_files("+cpu"))
    extra = package_index.Index(folder)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", extra.address)
    planned = plan()
    extra.close()
    assert names(planned) == [TORCH_CPU] and planned.source == extra.address


def test_wheels_of_other_pythons_do_and_of_other_systems_and_cudas_do_not(index, wheels):
    for name in (
        TORCH.replace("2.11.0", "2.11.1"),
        TORCH.replace("2.11.0", "2.11.0+cu126"),
        TORCH.replace(package_index.MACHINE, "riscv64"),
        "torch-2.11.0-cp311-cp311-win_amd64.whl",
        "torch-2.11.0-cp311-none-macosx_11_0_arm64.whl",
    ):
        (wheels / name).write_bytes(b"x")
    other = TORCH.replace("cp311-cp311", "cp314-cp314t")
    (wheels / TORCH).rename(wheels / other)
    assert names(plan())[0] == other


@pytest.mark.parametrize("with_sizes", [True, False])
def test_an_old_style_page_does(index, wheels, with_sizes):
    index.html, index.with_sizes = True, with_sizes
    planned = plan()
    assert names(planned) == [TORCH, RUNTIME, CUPTI]
    assert planned.artifacts[0].size == (wheels / TORCH).stat().st_size


@pytest.mark.parametrize("html", [True, False])
def test_an_index_without_hashes_is_refused(index, html):
    index.html, index.with_hashes = html, False
    with pytest.raises(InstallError, match="gives no SHA-256") as caught:
        plan()
    assert caught.value.kind == "hash"


def test_an_index_without_this_version_is_named(index, wheels):
    (wheels / TORCH).rename(wheels / TORCH.replace("2.11.0", "2.9.1"))
    with pytest.raises(InstallError, match=f"{index.address} has no torch 2.11.0 for Linux") as caught:
        plan()
    assert caught.value.kind == "version"


def test_an_index_without_a_companion_is_named(index, wheels):
    (wheels / CUPTI).unlink()
    with pytest.raises(InstallError, match="has no nvidia-cuda-cupti 13.0.85"):
        plan()


def test_a_page_that_is_none_is_named(index, monkeypatch):
    monkeypatch.setattr(index, "page", lambda project: ("application/vnd.pypi.simple.v1+json", b"[]"))
    with pytest.raises(InstallError, match="is not a page of a package index"):
        plan()


def test_no_network_names_the_host_and_the_proxy_variable(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(InstallError, match="no connection to 127.0.0.1:9: .*HTTP_PROXY is not set") as caught:
        plan()
    assert caught.value.kind == "network"
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:7")
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.example/simple")
    with pytest.raises(
        InstallError, match=r"index.example.*through the proxy http://127.0.0.1:7 \(HTTP_PROXY\)"
    ) as caught:
        plan()
    assert "secret" not in str(caught.value)


def test_a_password_is_used_for_the_index_and_its_files_and_never_shown(index, monkeypatch, tmp_path):
    from promem.install import install

    index.password = "me:xyz@/qrs"
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:xyz%40%2Fqrs@{index.host}/simple")
    planned = plan(tmp_path / "here")
    assert "qrs" not in planned.text and "xyz" not in str(planned.as_dict())
    assert install(tmp_path / "here", planned=planned).is_dir()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:wrong@{index.host}/simple")
    with pytest.raises(InstallError, match="answers 401") as caught:
        plan(tmp_path / "there")
    assert "wrong" not in str(caught.value)


def test_pip_settings_count_in_pips_own_order(tmp_path, monkeypatch):
    home = tmp_path / "user"
    (home / ".config" / "pip").mkdir(parents=True)
    (home / ".config" / "pip" / "pip.conf").write_text("[global]\nindex_url = https://one/simple\ncert = /one\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "etc.conf")
    (tmp_path / "etc.conf").write_text("[global]\nindex-url = https://zero/simple\nproxy = http://zero:1\n")
    environment = {"HOME": str(home), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    assert settings.indexes(environment) == ["https://one/simple/"]
    assert settings.certificates(environment) == "/one"
    assert settings.setting("proxy", environment) == "http://zero:1"

    (tmp_path / "prefix").mkdir()
    (tmp_path / "prefix" / "pip.conf").write_text(
        "[install]\nindex-url = https://two/simple\n[global]\nindex-url = https://no\n"
    )
    assert settings.indexes(environment) == ["https://two/simple/"]

    named = tmp_path / "named.conf"
    named.write_text(
        "[global]\nindex-url = https://three/simple/\nextra-index-url =\n    https://four\n    https://five\n"
    )
    environment["PIP_CONFIG_FILE"] = str(named)
    assert settings.indexes(environment) == ["https://three/simple/", "https://four/", "https://five/"]
    assert settings.certificates(environment) is None, "a named file replaces the user's own"

    environment["PIP_INDEX_URL"] = "https://six/simple"
    assert settings.indexes(environment)[0] == "https://six/simple/"
    environment["PIP_NO_INDEX"] = "1"
    assert settings.indexes(environment) == []
    assert settings.indexes({"PIP_CONFIG_FILE": os.devnull}) == [settings.DEFAULT_INDEX]


def test_where_pip_may_use_no_index_neither_do_we(monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "true")
    with pytest.raises(InstallError, match="no-index"):
        plan()


def test_a_certificate_file_that_cannot_be_read_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "no.pem"))
    with pytest.raises(InstallError, match="no.pem: certificates cannot be read"):
        plan()


def test_other_machines_are_refused_in_words(monkeypatch):
    import platform

    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(InstallError, match="riscv64") as caught:
        plan()
    assert caught.value.kind == "system"


def test_a_system_whose_c_library_is_too_old_is_refused(monkeypatch):
    import platform

    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.17"))
    with pytest.raises(InstallError, match="needs glibc 2.28; this system has 2.17"):
        plan()


def test_the_advice_for_certificates_names_what_works_in_slicer():
    """Slicer's launcher overwrites SSL_CERT_FILE."""
    import ssl
    import urllib.error

    from promem.install import network

    trouble = urllib.error.URLError(ssl.SSLCertVerificationError("self-signed certificate in certificate chain"))
    sentence = str(network.Network().failure("https://pypi.org/simple/torch/", trouble))
    assert "name their file in PIP_CERT" in sentence
