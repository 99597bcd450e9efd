package auth_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/org/mtx/auth"
	"github.com/org/mtx/router"
)

// Everybody may watch; one user, from one network, may publish some paths.
func ExampleInternal() {
	a := &auth.Internal{Users: []auth.User{
		{
			Name:        auth.Anybody,
			Permissions: []auth.Permission{{Action: router.ActionRead}},
		},
		{
			Name: "camera",
			// echo -n "mypass" | openssl dgst -binary -sha256 | openssl base64
			Pass:        "sha256:6nHCWnpgIka0w5gkuFVniJSpb0O7m3ExnDlwCh4EUiI=",
			IPs:         []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			Permissions: []auth.Permission{{Action: router.ActionPublish, Path: "~^cam[0-9]+$"}},
		},
	}}
	if err := a.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	for _, req := range []*router.AccessRequest{
		{Action: router.ActionRead, Path: "cam1"},
		{Action: router.ActionPublish, Path: "cam1"},
		{Action: router.ActionPublish, Path: "cam1", User: "camera", Pass: "mypass", Addr: netip.MustParseAddr("10.0.0.7")},
		{Action: router.ActionPublish, Path: "cam1", User: "camera", Pass: "mypass", Addr: netip.MustParseAddr("192.0.2.1")},
	} {
		id, err := a.Authenticate(context.Background(), req)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s is allowed to %q\n", req.Action, id.User)
	}
	// Output:
	// read is allowed to ""
	// authentication failed: no user is allowed to publish from an unknown address
	// publish is allowed to "camera"
	// authentication failed: no user is allowed to publish from 192.0.2.1
}
