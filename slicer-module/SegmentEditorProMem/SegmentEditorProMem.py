"""The hidden module of the extension ProMem: what Slicer loads when it starts.

In: Slicer's start. Out: the effect in every Segment Editor, a scan to try it on in Sample Data, a self test. Nothing
else happens here: no network is asked and nothing is installed before a user wants it.
"""

import importlib.util
import os
import sys
import time
import unittest

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

# A CT of the liver (Medical Segmentation Decathlon, CC BY-SA 4.0) that Slicer itself hosts, under the hash of its
# content.
SCAN_SHA256 = "e16eae0ae6fefa858c5c11e58f0f1bb81834d81b7102e021571056324ef6f37e"
SCAN = {
    "category": "ProMem",
    "sampleName": "ProMem: CTLiver",
    "uris": "https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/" + SCAN_SHA256,
    "checksums": "SHA256:" + SCAN_SHA256,
    # The names of Slicer's own sample data: who has the file already need not fetch it again.
    "fileNames": "CTLiver.nrrd",
    "nodeNames": "CTLiver",
}


def make_package_importable():
    """In an installed extension `promem` lies beside this module; in a checkout it does not."""
    if importlib.util.find_spec("promem") is None:
        checkout = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python")
        if os.path.isdir(os.path.join(checkout, "promem")):
            sys.path.append(checkout)


class SegmentEditorProMem(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "SegmentEditorProMem"
        self.parent.categories = ["Segmentation"]
        self.parent.dependencies = ["Segmentations"]
        self.parent.contributors = ["the SAM2-ProMem authors"]
        self.parent.hidden = True
        self.parent.helpText = (
            "This hidden module adds the effect ProMem to the Segment Editor: paint an object on one slice, or click into it, "
            "and it is segmented on all slices. Not a medical device."
        )
        self.parent.acknowledgementText = "The method is that of SAM2-ProMem (MICCAI 2025). The network is a port of SAM 2, Copyright Meta Platforms, Apache-2.0."
        make_package_importable()
        # The classes of Segment Editor effects and Sample Data are there only when all modules are loaded.
        slicer.app.connect("startupCompleted()", self.registerEditorEffect)
        slicer.app.connect("startupCompleted()", self.registerSampleData)
        slicer.app.connect("startupCompleted()", self.hidePromptsOfLoadedScenes)

    def registerEditorEffect(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        effect = effects.qSlicerSegmentEditorScriptedEffect(None)
        source = os.path.join(os.path.dirname(__file__), self.__class__.__name__ + "Lib", "SegmentEditorEffect.py")
        effect.setPythonSource(source.replace("\\", "/"))
        effect.self().register()

    def hidePromptsOfLoadedScenes(self):
        """The prompts of a scene are shown while the effect is active, and not before."""

        def hide(scene, event):
            from SegmentEditorProMemLib import markups

            markups.hide_prompts(scene)

        slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, hide)

    def registerSampleData(self):
        import SampleData

        thumbnail = os.path.join(os.path.dirname(__file__), "Resources", "Icons", "SegmentEditorProMem.png")
        SampleData.SampleDataLogic.registerCustomSampleDataSource(thumbnailFileName=thumbnail, **SCAN)


def demonstration():
    """A scan to test with, and the object in it: an ellipsoid of its own brightness, [k, j, i], at 1 x 1 x 3 mm."""
    k, j, i = np.meshgrid(np.arange(24), np.arange(96), np.arange(96), indexing="ij")
    inside = ((i - 50) / 24) ** 2 + ((j - 44) / 18) ** 2 + ((k - 12) / 7) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 12, inside.shape)
    body = ((i - 48) / 44) ** 2 + ((j - 48) / 40) ** 2 < 1
    return np.where(inside, 160, np.where(body, 40, -900) + noise).astype(np.int16), inside


class SegmentEditorProMemTest(ScriptedLoadableModuleTest):
    """For a real Slicer with libtorch installed (the effect's Install, or python3 -m promem.install): ctest in the
    extension's build folder, or, as a hidden module has no button, in Slicer's Python console

    import SegmentEditorProMem; SegmentEditorProMem.SegmentEditorProMemTest().runTest()
    """

    # Seconds that the whole may take on a slow computer.
    PATIENCE = 600.0

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        from SegmentEditorProMemLib import engine

        if engine.needs_installation():
            raise unittest.SkipTest("libtorch is not installed: open the effect ProMem and press Install")
        self.voxels, self.truth = demonstration()
        self.middle = len(self.voxels) // 2
        self.volume = slicer.util.addVolumeFromArray(self.voxels, ijkToRAS=np.diag([-1.0, -1.0, 3.0, 1.0]), name="CT")
        self.volume.CreateDefaultDisplayNodes()
        self.volume.GetDisplayNode().SetAutoWindowLevel(False)
        self.volume.GetDisplayNode().SetWindowLevel(400, 40)
        self.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.segment = self.segmentation.GetSegmentation().AddEmptySegment("liver", "Liver", [0.9, 0.4, 0.2])
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMRMLScene(slicer.mrmlScene)
        self.editor.setMRMLSegmentEditorNode(node)
        self.editor.setSegmentationNode(self.segmentation)
        self.editor.setSourceVolumeNode(self.volume)
        self.editor.setCurrentSegmentID(self.segment)
        self.editor.show()

    def tearDown(self):
        self.editor.setActiveEffectByName("")
        self.editor.close()
        self.editor.deleteLater()

    def runTest(self):
        for test in (
            self.test_one_slice_becomes_the_whole_object,
            self.test_a_corrected_slice_is_kept,
            self.test_a_click_shows_a_preview_and_paints_nothing,
            self.test_a_box_shows_a_preview,
            self.test_masking_is_kept_to,
        ):
            self.setUp()
            try:
                test()
            finally:
                self.tearDown()

    def test_one_slice_becomes_the_whole_object(self):
        self.delayDisplay("Painting one slice")
        painted = np.zeros_like(self.truth)
        painted[self.middle] = self.truth[self.middle]
        self.paint(painted)
        controller = self.effect().controller
        self.delayDisplay("Propagating")
        controller.propagate()
        self.wait_for(controller)
        found = self.mask()
        np.testing.assert_array_equal(found[self.middle], painted[self.middle])
        self.assertGreater(self.overlap(found), 0.9)
        self.assertIsNotNone(controller.report(self.segment))
        self.delayDisplay("Undoing: one step for the whole propagation")
        self.editor.undo()
        np.testing.assert_array_equal(self.mask(), painted)
        self.editor.redo()
        np.testing.assert_array_equal(self.mask(), found)

    def test_a_click_shows_a_preview_and_paints_nothing(self):
        self.delayDisplay("Clicking")
        controller = self.effect().controller
        controller.click(self.segment, (-50.0, -44.0, 3.0 * self.middle), "k")
        self.wait_for(controller)
        self.assertIn(f"Slice {self.middle + 1}: predicted IoU", controller.message)
        self.assertFalse(self.mask().any())

    def test_a_box_shows_a_preview(self):
        self.delayDisplay("Drawing a box")
        controller = self.effect().controller
        z = 3.0 * self.middle
        controller.box(self.segment, (-26.0, -26.0, z), (-74.0, -62.0, z), "k")
        self.wait_for(controller)
        self.assertIn(f"Slice {self.middle + 1}: predicted IoU", controller.message)
        controller.clear_prompts(self.segment)
        self.assertFalse(self.mask().any())

    def test_a_corrected_slice_is_kept(self):
        self.delayDisplay("Correcting a slice and propagating again")
        painted = np.zeros_like(self.truth)
        painted[self.middle] = self.truth[self.middle]
        self.paint(painted)
        controller = self.effect().controller
        controller.propagate()
        self.wait_for(controller)
        corrected = self.mask()
        corrected[self.middle + 2] = self.truth[self.middle + 2]
        corrected[self.middle + 2, :, :40] = False
        self.paint(corrected)
        controller.propagate()
        self.wait_for(controller)
        np.testing.assert_array_equal(self.mask()[self.middle + 2], corrected[self.middle + 2])
        self.assertIn(self.middle + 2, controller.report(self.segment).prompted)

    def test_masking_is_kept_to(self):
        self.delayDisplay("Propagating beside a finished segment")
        painted = np.zeros_like(self.truth)
        painted[self.middle] = self.truth[self.middle]
        painted[:, :, :50] = False
        self.paint(painted)
        other = self.segmentation.GetSegmentation().AddEmptySegment("other", "Other", [0.2, 0.4, 0.9])
        finished = np.zeros_like(self.truth)
        finished[:, :, :50] = True
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            finished.astype(np.uint8), self.segmentation, other, self.volume
        )
        node = self.editor.mrmlSegmentEditorNode()
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
        controller = self.effect().controller
        controller.propagate([self.segment])
        self.wait_for(controller)
        self.assertGreater(self.mask().sum(), painted.sum())
        self.assertFalse((self.mask() & finished).any())
        kept = slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, other, self.volume)
        np.testing.assert_array_equal(kept.astype(bool), finished)

    # What the tests are made of.

    def effect(self):
        """The effect, active; its controller is there then."""
        self.editor.setActiveEffectByName("ProMem")
        self.assertIsNotNone(self.editor.activeEffect(), "the effect ProMem is not registered")
        effect = self.editor.activeEffect().self()
        self.wait_for(effect.controller)
        return effect

    def wait_for(self, controller):
        """Lets Slicer run, and with it the effect's timer, until nothing is to be done."""
        end = time.monotonic() + self.PATIENCE
        while not controller.is_idle:
            self.assertLess(time.monotonic(), end, controller.message)
            slicer.app.processEvents()
            time.sleep(0.005)
        self.assertIsNone(controller.error)

    def paint(self, mask):
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), self.segmentation, self.segment, self.volume
        )

    def mask(self):
        return slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, self.segment, self.volume).astype(bool)

    def overlap(self, found):
        """Dice."""
        return 2 * (found & self.truth).sum() / (found.sum() + self.truth.sum())
