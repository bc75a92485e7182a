"""The module `qt` as Slicer's Python sees it, made of PySide6, and as strict as PythonQt, so that what runs here runs
there.

In: names of Qt's classes. Out: classes whose Qt properties are attributes (`button.text`, never `button.text()`),
whose signals are connected by their C++ signature (`connect("clicked()", call)`), on whose objects no new attributes
can be made, whose methods take no keyword arguments, and which cannot be subclassed (PythonQt can override virtual
methods, but not reliably). docs/notes/pythonqt.md says where PythonQt's sources show it. Knows nothing of Slicer.
"""

import ctypes
import inspect
import os
import sys
import types

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402

if sys.version_info < (3, 12):
    # This PySide counts on constants that live for ever, as they do since 3.12: before, it lets go of more than it
    # holds, and the interpreter falls at its end.
    for constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40

# What PySide would take for an override of the virtual method of that name.
_VIRTUAL = {"sizeHint", "minimumSizeHint", "hasHeightForWidth", "inputMethodHints"}
_VIRTUAL_OF = {"QProgressBar": {"text"}}


class FileDialog:
    """QFileDialog with a user who has decided already: `answers` are given one after another."""

    answers: list = []
    asked: list = []

    @classmethod
    def getOpenFileName(cls, parent=None, caption="", folder="", filters=""):
        cls.asked.append((caption, folder, filters))
        # PythonQt gives the name alone, PySide a pair.
        return cls.answers.pop(0) if cls.answers else ""


class Settings:
    """QSettings that forgets at the end."""

    _values: dict = {}

    @classmethod
    def forget(cls):
        cls._values.clear()

    def value(self, key, default=None):
        return self._values.get(key, default)

    def setValue(self, key, value):
        self._values[key] = value

    def contains(self, key):
        return key in self._values

    def remove(self, key):
        self._values.pop(key, None)


class _Module(types.ModuleType):
    """Makes a class when its name is first asked for."""

    QFileDialog = FileDialog
    QSettings = Settings

    def __getattr__(self, name):
        for module in (QtWidgets, QtGui, QtCore):
            found = getattr(module, name, None)
            if found is not None:
                wrapped = found
                if isinstance(found, type) and issubclass(found, QtCore.QObject):
                    wrapped = found if issubclass(found, QtCore.QCoreApplication) else _wrapped(found)
                setattr(self, name, wrapped)
                return wrapped
        raise AttributeError(f"module 'qt' has no attribute {name!r}")


def host_class(base):
    """A class of Slicer's own, to be subclassed by what plays Slicer."""
    return _wrapped(base, strict=False)


def _wrapped(base, strict=True):
    members = {"_slots_of": property(lambda self: self.__dict__.setdefault("_slots", {}))}
    skipped = _VIRTUAL | _VIRTUAL_OF.get(base.__name__, set())
    about = base.staticMetaObject
    for number in range(about.propertyCount()):
        name = about.property(number).name()
        if name not in skipped:
            members[name] = _property(name)
    members.update(connect=_connect, disconnect=_disconnect, className=lambda self: base.__name__)
    if strict:
        members["__setattr__"] = _attributes_of(base)
        members["__init__"] = _constructor_of(base)
        members["__getattribute__"] = _methods_of(base)
    made = type(base.__name__, (base,), members)
    if strict:
        made.__init_subclass__ = classmethod(_refuse_subclass)
    return made


def _refuse_subclass(cls, **_):
    raise TypeError(f"{cls.__name__}: a subclass of a Qt class; its overrides may not be called under PythonQt")


def _property(name):
    def read(self):
        return QtCore.QObject.property(self, name)

    def write(self, value):
        if not QtCore.QObject.setProperty(self, name, value):
            raise TypeError(f"{type(self).__name__}.{name}: {value!r} cannot be set")

    return property(read, write)


def _constructor_of(base):
    def construct(self, *arguments, **keywords):
        _refuse_keywords(base.__name__, keywords)
        base.__init__(self, *arguments)

    return construct


def _methods_of(base):
    def get_attribute(self, name):
        found = base.__getattribute__(self, name)
        if not isinstance(found, types.BuiltinMethodType):
            return found

        def method(*arguments, **keywords):
            _refuse_keywords(f"{base.__name__}.{name}", keywords)
            return found(*arguments)

        return method

    return get_attribute


def _refuse_keywords(called, keywords):
    if keywords:
        raise ValueError(f"{called}: called with keyword arguments {', '.join(keywords)}; PythonQt knows none")


def _attributes_of(base):
    def set_attribute(self, name, value):
        if not isinstance(getattr(type(self), name, None), property):
            raise AttributeError(f"{base.__name__}.{name}: PythonQt makes no new attributes on Qt's objects")
        base.__setattr__(self, name, value)

    return set_attribute


def _signal(self, signature):
    name, opened, rest = signature.partition("(")
    if not opened or not rest.endswith(")"):
        raise ValueError(f"{signature}: expected a signature such as clicked()")
    if self.metaObject().indexOfSignal(signature.replace(" ", "")) < 0:
        raise ValueError(f"{type(self).__name__} has no signal {signature}")
    return getattr(self, name), 0 if rest == ")" else rest.count(",") + 1


def _connect(self, signature, slot):
    signal, count = _signal(self, signature)

    def call(*values):
        # As many as the signature has, and no more than the function takes.
        return slot(*values[: min(count, _most(slot))])

    self._slots_of[signature, slot] = call
    signal.connect(call)
    return True


def _most(slot):
    taken = 0
    for parameter in inspect.signature(slot, follow_wrapped=False).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return sys.maxsize
        taken += parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return taken


def _disconnect(self, signature, slot):
    signal, _ = _signal(self, signature)
    call = self._slots_of.pop((signature, slot), None)
    if call is None:
        return False
    signal.disconnect(call)
    return True


def application():
    """The one QApplication."""
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


def install():
    """Makes `import qt` give this; gives it, too."""
    if not isinstance(sys.modules.get("qt"), _Module):
        sys.modules["qt"] = _Module("qt")
    application()
    return sys.modules["qt"]
