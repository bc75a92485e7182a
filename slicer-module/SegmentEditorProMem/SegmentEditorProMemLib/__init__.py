"""The Segment Editor effect: logic, scene and panel, in this order. No module imports a later one."""
