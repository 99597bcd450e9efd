// Package routertest tests plugins against a real router.
//
// [New] starts a router that is closed at the end of the test, which fails if
// anything that the router, or the test, started is still running then:
//
//	func TestCamera(t *testing.T) {
//		t.Parallel()
//		r := routertest.New(t, router.Config{
//			Paths: []router.PathConfig{{Name: "cam", Source: &Camera{URL: url}}},
//		})
//		stream := routertest.WaitReady(t, r, "cam")
//		...
//	}
//
// Nothing here sleeps: [WaitReady] and [Record] follow the hooks of the router,
// [Eventually] polls what has no hook, [Log] keeps what is logged.
//
// # Fakes
//
// [Protocol], [Source], [Standby], [Sink], [Authenticator] and [Depacketizer] have
// one field per method; the zero value does the simplest thing that is right. They are
// used as pointers, so that the router can tell whether they changed.
//
// # Conformance
//
// Every plugin must pass the suite of its kind, which is one more test:
//
//	func TestConformance(t *testing.T) {
//		addr := routertest.FreeAddr(t)
//		routertest.TestProtocol(t, func() router.Protocol { return &Lines{Addr: addr} })
//	}
//
// See [TestProtocol], [TestSource], [TestSink] and [TestAuthenticator] for what
// they check. The function that makes the plugin is called many times and must
// return equal values.
package routertest
