package rtp_test

import (
	"fmt"

	"github.com/org/mtx/router"
	srcrtp "github.com/org/mtx/source/rtp"
)

const sdp = `v=0
o=- 123456789 123456789 IN IP4 192.168.1.100
s=H264 Video Stream
c=IN IP4 192.168.1.100
t=0 0
m=video 5004 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 profile-level-id=42e01e;packetization-mode=1;sprop-parameter-sets=Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aMuMsg==
`

func Example() {
	_, err := router.New(router.Config{
		Paths: []router.PathConfig{{
			Name:   "studio",
			Source: srcrtp.Source{URL: "udp+rtp://238.0.0.1:5004?interface=eth0", SDP: sdp},
		}},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSource_Validate() {
	fmt.Println(srcrtp.Source{URL: "udp+rtp://238.0.0.1:5004"}.Validate())
	// Output: the SDP is missing: it must describe what the sender sends
}
