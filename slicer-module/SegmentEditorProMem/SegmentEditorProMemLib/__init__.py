"""The Segment Editor effect: pure logic, the scene, and the panel, in this order; no module knows of a later one."""
