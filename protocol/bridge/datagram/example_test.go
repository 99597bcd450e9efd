package datagram_test

import (
	"context"
	"fmt"
	"time"

	"github.com/org/mtx/protocol/bridge/datagram"
)

func ExampleParse() {
	a, err := datagram.Parse("udp+mpegts://238.0.0.1:1234?interface=eth0&source=10.0.0.5", "mpegts")
	fmt.Println(a, a.Interface, a.Source, err)
	_, err = datagram.Parse("udp+mpegts://238.0.0.1", "mpegts")
	fmt.Println(err)
	// Output:
	// 238.0.0.1:1234 eth0 10.0.0.5 <nil>
	// URL "udp+mpegts://238.0.0.1": port "": it must be a number from 1 to 65535
}

func ExampleListen() {
	receive := func(ctx context.Context, url string) error {
		a, err := datagram.Parse(url, "rtp")
		if err != nil {
			return err
		}
		c, err := datagram.Listen(ctx, a, datagram.Options{})
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			packets, err := c.Receive(10 * time.Second)
			if err != nil {
				return err
			}
			fmt.Println(len(packets), "datagrams")
		}
	}
	fmt.Println(receive(context.Background(), "udp+rtp://238.0.0.1:5004?interface=none"))
	// Output: cannot listen on 238.0.0.1:5004: interface "none": this machine has no such network interface
}
