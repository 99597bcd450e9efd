package whipclient_test

import (
	"fmt"

	"github.com/org/mtx/protocol/bridge/whipclient"
)

func ExampleNew() {
	c, err := whipclient.New(whipclient.Options{
		Protocol: whipclient.WHIP, URL: "whips://user:pass@example.org/live/cam/whip?token=secret",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Address())
	// Output: whips://example.org/live/cam/whip
}
