#!/bin/sh
# Generates the offline segments of the package: three seconds of video that
# loop without a seam, without frames that refer to later ones, a key frame each
# second. It needs ffmpeg with drawtext, libx264, libx265, libvpx and libaom, and
# a font.
#
#	./generate.sh [font.ttf]
set -eu
cd "$(dirname "$0")"
font=${1:-$(fc-match -f '%{file}' 'DejaVu Sans:bold')}
mkdir -p segments

# a dark card with a frame, the text, and a light that crosses the line below it
# once per loop, so that one sees that the stream is alive
picture="color=0x12161c:s=1280x720:r=25:d=3[bg];
color=0x2fb6a8:s=96x6:r=25:d=3[light];
[bg]drawbox=x=24:y=24:w=iw-48:h=ih-48:color=0x232a33:t=4,
drawbox=x=290:y=420:w=700:h=6:color=0x232a33:t=fill,
drawtext=fontfile='$font':text='STREAM IS OFFLINE':fontsize=64:fontcolor=0xe8ecf0:x=(w-text_w)/2:y=316[card];
[card][light]overlay=x='290+604*(0.5-0.5*cos(2*PI*n/75))':y=420:eval=frame,format=yuv420p[v]"

encode() {
	out=$1
	shift
	ffmpeg -hide_banner -loglevel error -y -filter_complex "$picture" -map '[v]' "$@" \
		-fflags +bitexact -flags:v +bitexact -map_metadata -1 -movflags +faststart "segments/$out.mp4"
}

encode h264 -c:v libx264 -preset veryslow -profile:v baseline -crf 26 -g 25 -keyint_min 25 -sc_threshold 0
encode h265 -c:v libx265 -preset slow -crf 28 -tag:v hvc1 \
	-x265-params 'log-level=error:keyint=25:min-keyint=25:scenecut=0:bframes=0:open-gop=0:info=0'
encode vp9 -c:v libvpx-vp9 -crf 36 -b:v 0 -g 25 -keyint_min 25 -lag-in-frames 0 -auto-alt-ref 0 -row-mt 0 -threads 1
encode av1 -c:v libaom-av1 -crf 36 -b:v 0 -g 25 -keyint_min 25 -lag-in-frames 0 -usage realtime -cpu-used 6 -threads 1
ls -l segments
