package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestEnvGood(t *testing.T) {
	t.Parallel()
	const file = `rtspAddress: ":1111"
authInternalUsers:
- {user: one, pass: a, permissions: [{action: read}]}
- {user: two, pass: b, permissions: [{action: read}]}
paths: {test: {maxReaders: 1}, my_cam: }
`
	cases := []struct {
		name  string
		env   string // separated by spaces
		check func(d *Document) bool
	}{
		{"scalar", "MTX_RTSPADDRESS=:2222", func(d *Document) bool { return d.RTSPAddress == ":2222" }},
		{"old prefix", "RTSP_RTSPADDRESS=:2222", func(d *Document) bool { return d.RTSPAddress == ":2222" }},
		{"new prefix first", "MTX_RTSPADDRESS=:3333 RTSP_RTSPADDRESS=:2222", func(d *Document) bool { return d.RTSPAddress == ":3333" }},
		{"boolean", "MTX_RTSP=no", func(d *Document) bool { return !d.RTSP }},
		{"list", "MTX_RTSPTRANSPORTS=tcp,udp", func(d *Document) bool { return reflect.DeepEqual(d.RTSPTransports, []Transport{"tcp", "udp"}) }},
		{"empty list", "MTX_APIALLOWORIGINS=", func(d *Document) bool { return len(d.APIAllowOrigins) == 0 }},
		{"empty list of maps", "MTX_AUTHINTERNALUSERS=", func(d *Document) bool { return len(d.AuthInternalUsers) == 0 }},
		{"list of scalars by position", "MTX_RTSPAUTHMETHODS_0=digest MTX_RTSPAUTHMETHODS_1=basic", func(d *Document) bool {
			return reflect.DeepEqual(d.RTSPAuthMethods, []RTSPAuthMethod{"digest", "basic"})
		}},
		{"position of the file's list", "MTX_AUTHINTERNALUSERS_1_PASS=c", func(d *Document) bool {
			u := d.AuthInternalUsers
			return len(u) == 2 && u[1].User == "two" && u[1].Pass == "c" && u[0].Pass == "a" && len(u[1].Permissions) == 1
		}},
		{"position behind the list", "MTX_AUTHINTERNALUSERS_2_USER=three MTX_AUTHINTERNALUSERS_2_PERMISSIONS_0_ACTION=api", func(d *Document) bool {
			u := d.AuthInternalUsers
			return len(u) == 3 && u[2].User == "three" && u[2].Permissions[0].Action == "api"
		}},
		{"whole list, then positions", "MTX_AUTHINTERNALUSERS= MTX_AUTHINTERNALUSERS_0_USER=x", func(d *Document) bool {
			return len(d.AuthInternalUsers) == 1 && d.AuthInternalUsers[0].User == "x"
		}},
		{"more than ten positions", "MTX_AUTHINTERNALUSERS= " + func() (s string) {
			for i := 11; i >= 0; i-- {
				s += " MTX_AUTHINTERNALUSERS_" + string([]byte{byte('0' + i/10), byte('0' + i%10)}[btoi(i < 10):]) + "_USER=u"
			}
			return s
		}(), func(d *Document) bool { return len(d.AuthInternalUsers) == 12 }},
		{"new path", "MTX_PATHS_DOOR_SOURCE=rtsp://h/x", func(d *Document) bool { return d.Paths["door"].Source == "rtsp://h/x" && len(d.Paths) == 3 }},
		{"path of the file", "MTX_PATHS_TEST_RECORD=yes", func(d *Document) bool { return d.Paths["test"].Record && d.Paths["test"].MaxReaders == 1 }},
		{"path with an underscore", "MTX_PATHS_MY_CAM_MAXREADERS=7", func(d *Document) bool { return d.Paths["my_cam"].MaxReaders == 7 && len(d.Paths) == 2 }},
		{"path of digits", "MTX_PATHS_1_MAXREADERS=7", func(d *Document) bool { return d.Paths["1"].MaxReaders == 7 }},
		{"path without keys", "MTX_PATHS_EMPTY=", func(d *Document) bool { return d.Paths["empty"].Source == "publisher" }},
		{"list of a path", "MTX_PATHS_TEST_ALWAYSAVAILABLETRACKS_0_CODEC=H264", func(d *Document) bool {
			return reflect.DeepEqual(d.Paths["test"].AlwaysAvailableTracks, []OfflineTrack{{Codec: "H264"}})
		}},
		{"defaults of paths", "MTX_PATHDEFAULTS_MAXREADERS=5", func(d *Document) bool { return d.Paths["my_cam"].MaxReaders == 5 && d.Paths["test"].MaxReaders == 1 }},
		{"pair of numbers", "MTX_PATHDEFAULTS_RTSPUDPSOURCEPORTRANGE=1000,2000", func(d *Document) bool {
			return d.PathDefaults.RTSPUDPSourcePortRange == PortRange{1000, 2000}
		}},
		{"deprecated", "RTSP_PROTOCOLS=tcp MTX_RTMPDISABLE=yes", func(d *Document) bool { return d.RTSPTransports[0] == "tcp" && !d.RTMP }},
		{"unknown names", "MTX_UNKNOWN=1 MTX_RTSPADDRESS_X=1 MTX_PATHS_A_NOTHING=1 RTSP_PORT=8554 MTX_= MTX_CONFKEY=k MTX_rtsp=no MTX_RTSP_=no MTX_PATHS_low_SOURCE=x MTX_QUERY=a MTX_PATHS__SOURCE_=x", func(d *Document) bool {
			return d.RTSP && d.RTSPAddress == ":1111" && len(d.Paths) == 2
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if d, _ := parse(t, file, strings.Fields(c.env)...); !c.check(d) {
				t.Errorf("%s gave %+v", c.env, d)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestEnvBad(t *testing.T) {
	t.Parallel()
	cases := []struct{ env, want string }{
		{"MTX_RTSPADDRESS=zz", `environment variable MTX_RTSPADDRESS: rtspAddress "zz": must be an address with a port of at most 65535 such as ":8554" or "127.0.0.1:8554"`},
		{"RTSP_RTSP=perhaps", `environment variable RTSP_RTSP: rtsp "perhaps": must be yes or no`},
		{"MTX_AUTHINTERNALUSERS=a,b", `environment variable MTX_AUTHINTERNALUSERS: this list is set by position: MTX_AUTHINTERNALUSERS_0_USER`},
		{"MTX_AUTHINTERNALUSERS_5_USER=a", `environment variable MTX_AUTHINTERNALUSERS_5_USER: this position is behind the end of the list`},
		{"MTX_PATHS=a", `environment variable MTX_PATHS: this names a group of keys, so it cannot have a value`},
		{"MTX_PATHS_CAM=a", `environment variable MTX_PATHS_CAM: this names a group of keys, so it cannot have a value`},
		{"MTX_PATHS_CAM_SOURCE=x", `environment variable MTX_PATHS_CAM_SOURCE: path "cam": source "x": must be publisher, redirect, rpiCamera, or a URL with one of the schemes ` + schemeList},
		{"MTX_PATHS_A B_SOURCE=publisher", `environment variable MTX_PATHS_A B_SOURCE: path "a b": can contain only letters, digits and _ - . ~ / : @ ! $ & ' ( ) * + , ; =`},
	}
	for _, c := range cases {
		_, _, err := Parse("test.yml", nil, []string{c.env}, nil)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\ngot  %v\nwant %s", c.env, err, c.want)
		}
	}
}

// Overrides come last.
func TestOverrides(t *testing.T) {
	t.Parallel()
	d, _, err := Parse("test.yml", []byte("logLevel: error\napi: no"), []string{"MTX_LOGLEVEL=warn"},
		map[string]any{"logLevel": "debug", "api": true, "writeQueueSize": 1024, "rtspTransports": []string{"tcp"}})
	if err != nil {
		t.Fatal(err)
	}
	if d.LogLevel != "debug" || !d.API || d.WriteQueueSize != 1024 || d.RTSPTransports[0] != "tcp" {
		t.Errorf("got %+v", d.Global)
	}
	_, _, err = Parse("test.yml", nil, nil, map[string]any{"rtspAddress": "zz"})
	if err == nil || !strings.HasPrefix(err.Error(), `option rtspAddress: rtspAddress "zz": must be`) {
		t.Errorf("got %v", err)
	}
}
