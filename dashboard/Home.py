"""Second Read's front door: the page's frame and its navigation, nothing else."""

from pathlib import Path

import streamlit as st

from dashboard.components import frame

st.set_page_config(page_title="Second Read", page_icon=str(Path(__file__).parent / "icon.png"), layout="wide")
frame.draw()
with frame.log_may_fail():
    frame.navigation().run()
