package app

import (
	"reflect"

	"github.com/org/mtx/cmd/mediamtx/config"
	"github.com/org/mtx/controlapi"
	"github.com/org/mtx/protocol/hls"
	"github.com/org/mtx/protocol/rtmp"
	"github.com/org/mtx/protocol/rtsp"
	"github.com/org/mtx/protocol/srt"
	"github.com/org/mtx/protocol/webrtc"
)

// OpenAPI describes the Control API of the command, see [controlapi.OpenAPI].
func OpenAPI() ([]byte, error) {
	return controlapi.OpenAPI(controlapi.Types{
		Schemas: map[string]reflect.Type{
			"GlobalConf": reflect.TypeFor[config.Global](), "PathConf": reflect.TypeFor[config.Path](),
			"AuthInternalUser":           reflect.TypeFor[config.User](),
			"AuthInternalUserPermission": reflect.TypeFor[config.Permission](),
			"Webhook":                    reflect.TypeFor[config.Webhook](),
			"WebRTCICEServer":            reflect.TypeFor[config.ICEServer](),
			"AlwaysAvailableTrack":       reflect.TypeFor[config.OfflineTrack](),

			"AuthAction": reflect.TypeFor[config.Action](), "AuthMethod": reflect.TypeFor[config.AuthMethod](),
			"Encryption": reflect.TypeFor[config.Encryption](), "HLSVariant": reflect.TypeFor[config.HLSVariant](),
			"LogDestination": reflect.TypeFor[config.LogDestination](), "LogLevel": reflect.TypeFor[config.LogLevel](),
			"RecordFormat": reflect.TypeFor[config.RecordFormat](), "RTSPAuthMethod": reflect.TypeFor[config.RTSPAuthMethod](),
			"RTSPRangeType": reflect.TypeFor[config.RangeType](), "RTSPTransport": reflect.TypeFor[config.SourceTransport](),
			"AlwaysAvailableTrackCodec": reflect.TypeFor[config.OfflineCodec](),

			"RTSPConn": reflect.TypeFor[rtsp.ConnDetails](), "RTSPSession": reflect.TypeFor[rtsp.SessionDetails](),
			"RTMPConn": reflect.TypeFor[rtmp.Details](), "SRTConn": reflect.TypeFor[srt.Details](),
			"WebRTCSession": reflect.TypeFor[webrtc.Details](), "HLSMuxer": reflect.TypeFor[hls.Details](),
		},
		Deprecated: map[string]map[string]reflect.Type{
			"GlobalConf": config.SectionGlobal.DeprecatedKeys(), "PathConf": config.SectionPath.DeprecatedKeys(),
		},
	})
}
