"""Videos in DICOM objects (PS3.5 8.2.5 to 8.2.8, A.4.5 to A.4.9) as mp4 files that browsers play.

`extraction` does the job for one object; `tools` says what it needs of a video library, of which
there are two: `pyav_tools` and `ffmpeg_tools`.
"""
