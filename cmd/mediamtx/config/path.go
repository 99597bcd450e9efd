package config

// Path holds the keys of a path.
type Path struct {
	// Name of the path; the document sets it to the key under "paths".
	Name string `json:"name" koanf:"name"`

	// Source.
	Source                     string   `json:"source" koanf:"source"`
	SourceFingerprint          string   `json:"sourceFingerprint" koanf:"sourceFingerprint" check:"fingerprint"`
	SourceOnDemand             bool     `json:"sourceOnDemand" koanf:"sourceOnDemand"`
	SourceOnDemandStartTimeout Duration `json:"sourceOnDemandStartTimeout" koanf:"sourceOnDemandStartTimeout" check:"positive"`
	SourceOnDemandCloseAfter   Duration `json:"sourceOnDemandCloseAfter" koanf:"sourceOnDemandCloseAfter" check:"notNegative"`

	// Readers and publishers.
	MaxReaders           int  `json:"maxReaders" koanf:"maxReaders" check:"notNegative"`
	UseAbsoluteTimestamp bool `json:"useAbsoluteTimestamp" koanf:"useAbsoluteTimestamp"`
	OverridePublisher    bool `json:"overridePublisher" koanf:"overridePublisher"`

	// SRT.
	SRTReadPassphrase    string `json:"srtReadPassphrase" koanf:"srtReadPassphrase" check:"passphrase" secret:"true"`
	SRTPublishPassphrase string `json:"srtPublishPassphrase" koanf:"srtPublishPassphrase" check:"passphrase" secret:"true"`

	// Always available.
	AlwaysAvailable       bool           `json:"alwaysAvailable" koanf:"alwaysAvailable" later:"true"`
	AlwaysAvailableTracks []OfflineTrack `json:"alwaysAvailableTracks" koanf:"alwaysAvailableTracks" later:"true"`
	AlwaysAvailableFile   string         `json:"alwaysAvailableFile" koanf:"alwaysAvailableFile" later:"true"`

	// Recording.
	Record                bool         `json:"record" koanf:"record" later:"true"`
	RecordPath            string       `json:"recordPath" koanf:"recordPath" check:"recordPath" later:"true"`
	RecordFormat          RecordFormat `json:"recordFormat" koanf:"recordFormat" later:"true"`
	RecordPartDuration    Duration     `json:"recordPartDuration" koanf:"recordPartDuration" check:"positive" later:"true"`
	RecordMaxPartSize     Size         `json:"recordMaxPartSize" koanf:"recordMaxPartSize" check:"positive" later:"true"`
	RecordSegmentDuration Duration     `json:"recordSegmentDuration" koanf:"recordSegmentDuration" check:"positive" later:"true"`
	RecordDeleteAfter     Duration     `json:"recordDeleteAfter" koanf:"recordDeleteAfter" check:"notNegative" later:"true"`

	// RTSP.
	RTSPDemuxMpegts        bool            `json:"rtspDemuxMpegts" koanf:"rtspDemuxMpegts"`
	RTSPTransport          SourceTransport `json:"rtspTransport" koanf:"rtspTransport"`
	RTSPAnyPort            bool            `json:"rtspAnyPort" koanf:"rtspAnyPort"`
	RTSPRangeType          RangeType       `json:"rtspRangeType" koanf:"rtspRangeType"`
	RTSPRangeStart         string          `json:"rtspRangeStart" koanf:"rtspRangeStart"`
	RTSPUDPSourcePortRange PortRange       `json:"rtspUDPSourcePortRange" koanf:"rtspUDPSourcePortRange" check:"portRange"`
	RTSPScale              string          `json:"rtspScale" koanf:"rtspScale" check:"scale"`

	// Source RTP.
	RTPSDP string `json:"rtpSDP" koanf:"rtpSDP"`

	// Source WHEP.
	WHEPBearerToken        string   `json:"whepBearerToken" koanf:"whepBearerToken" secret:"true"`
	WHEPSTUNGatherTimeout  Duration `json:"whepSTUNGatherTimeout" koanf:"whepSTUNGatherTimeout" check:"positive"`
	WHEPHandshakeTimeout   Duration `json:"whepHandshakeTimeout" koanf:"whepHandshakeTimeout" check:"positive"`
	WHEPTrackGatherTimeout Duration `json:"whepTrackGatherTimeout" koanf:"whepTrackGatherTimeout" check:"positive"`

	// Source redirect.
	SourceRedirect string `json:"sourceRedirect" koanf:"sourceRedirect"`

	// Source Raspberry Pi camera.
	RPiCameraCamID               int     `json:"rpiCameraCamID" koanf:"rpiCameraCamID" check:"notNegative" later:"true"`
	RPiCameraSecondary           bool    `json:"rpiCameraSecondary" koanf:"rpiCameraSecondary" later:"true"`
	RPiCameraWidth               int     `json:"rpiCameraWidth" koanf:"rpiCameraWidth" check:"positive" later:"true"`
	RPiCameraHeight              int     `json:"rpiCameraHeight" koanf:"rpiCameraHeight" check:"positive" later:"true"`
	RPiCameraHFlip               bool    `json:"rpiCameraHFlip" koanf:"rpiCameraHFlip" later:"true"`
	RPiCameraVFlip               bool    `json:"rpiCameraVFlip" koanf:"rpiCameraVFlip" later:"true"`
	RPiCameraBrightness          float64 `json:"rpiCameraBrightness" koanf:"rpiCameraBrightness" check:"range=-1 1" later:"true"`
	RPiCameraContrast            float64 `json:"rpiCameraContrast" koanf:"rpiCameraContrast" check:"range=0 16" later:"true"`
	RPiCameraSaturation          float64 `json:"rpiCameraSaturation" koanf:"rpiCameraSaturation" check:"range=0 16" later:"true"`
	RPiCameraSharpness           float64 `json:"rpiCameraSharpness" koanf:"rpiCameraSharpness" check:"range=0 16" later:"true"`
	RPiCameraExposure            string  `json:"rpiCameraExposure" koanf:"rpiCameraExposure" check:"oneof=normal short long custom" later:"true"`
	RPiCameraAWB                 string  `json:"rpiCameraAWB" koanf:"rpiCameraAWB" check:"oneof=auto incandescent tungsten fluorescent indoor daylight cloudy custom" later:"true"`
	RPiCameraAWBGains            Gains   `json:"rpiCameraAWBGains" koanf:"rpiCameraAWBGains" later:"true"`
	RPiCameraDenoise             string  `json:"rpiCameraDenoise" koanf:"rpiCameraDenoise" check:"oneof=off cdn_off cdn_fast cdn_hq" later:"true"`
	RPiCameraShutter             int     `json:"rpiCameraShutter" koanf:"rpiCameraShutter" check:"notNegative" later:"true"`
	RPiCameraMetering            string  `json:"rpiCameraMetering" koanf:"rpiCameraMetering" check:"oneof=centre spot matrix custom" later:"true"`
	RPiCameraGain                float64 `json:"rpiCameraGain" koanf:"rpiCameraGain" check:"notNegative" later:"true"`
	RPiCameraEV                  float64 `json:"rpiCameraEV" koanf:"rpiCameraEV" check:"range=-10 10" later:"true"`
	RPiCameraROI                 string  `json:"rpiCameraROI" koanf:"rpiCameraROI" later:"true"`
	RPiCameraHDR                 bool    `json:"rpiCameraHDR" koanf:"rpiCameraHDR" later:"true"`
	RPiCameraTuningFile          string  `json:"rpiCameraTuningFile" koanf:"rpiCameraTuningFile" later:"true"`
	RPiCameraMode                string  `json:"rpiCameraMode" koanf:"rpiCameraMode" later:"true"`
	RPiCameraFPS                 float64 `json:"rpiCameraFPS" koanf:"rpiCameraFPS" check:"positive" later:"true"`
	RPiCameraAfMode              string  `json:"rpiCameraAfMode" koanf:"rpiCameraAfMode" check:"oneof=auto manual continuous" later:"true"`
	RPiCameraAfRange             string  `json:"rpiCameraAfRange" koanf:"rpiCameraAfRange" check:"oneof=normal macro full" later:"true"`
	RPiCameraAfSpeed             string  `json:"rpiCameraAfSpeed" koanf:"rpiCameraAfSpeed" check:"oneof=normal fast" later:"true"`
	RPiCameraLensPosition        float64 `json:"rpiCameraLensPosition" koanf:"rpiCameraLensPosition" check:"notNegative" later:"true"`
	RPiCameraAfWindow            string  `json:"rpiCameraAfWindow" koanf:"rpiCameraAfWindow" later:"true"`
	RPiCameraFlickerPeriod       int     `json:"rpiCameraFlickerPeriod" koanf:"rpiCameraFlickerPeriod" check:"notNegative" later:"true"`
	RPiCameraTextOverlayEnable   bool    `json:"rpiCameraTextOverlayEnable" koanf:"rpiCameraTextOverlayEnable" later:"true"`
	RPiCameraTextOverlay         string  `json:"rpiCameraTextOverlay" koanf:"rpiCameraTextOverlay" later:"true"`
	RPiCameraCodec               string  `json:"rpiCameraCodec" koanf:"rpiCameraCodec" check:"oneof=auto hardwareH264 softwareH264 mjpeg" later:"true"`
	RPiCameraIDRPeriod           int     `json:"rpiCameraIDRPeriod" koanf:"rpiCameraIDRPeriod" check:"positive" later:"true"`
	RPiCameraBitrate             int     `json:"rpiCameraBitrate" koanf:"rpiCameraBitrate" check:"positive" later:"true"`
	RPiCameraHardwareH264Profile string  `json:"rpiCameraHardwareH264Profile" koanf:"rpiCameraHardwareH264Profile" check:"oneof=baseline main high" later:"true"`
	RPiCameraHardwareH264Level   string  `json:"rpiCameraHardwareH264Level" koanf:"rpiCameraHardwareH264Level" check:"oneof=4.0 4.1 4.2" later:"true"`
	RPiCameraSoftwareH264Profile string  `json:"rpiCameraSoftwareH264Profile" koanf:"rpiCameraSoftwareH264Profile" check:"oneof=baseline main high" later:"true"`
	RPiCameraSoftwareH264Level   string  `json:"rpiCameraSoftwareH264Level" koanf:"rpiCameraSoftwareH264Level" check:"oneof=4.0 4.1 4.2" later:"true"`
	RPiCameraMJPEGQuality        int     `json:"rpiCameraMJPEGQuality" koanf:"rpiCameraMJPEGQuality" check:"range=1 100" later:"true"`
	RPiCameraH264Profile         string  `json:"rpiCameraH264Profile" koanf:"rpiCameraH264Profile" check:"oneof=auto baseline main high" later:"true"`
	RPiCameraH264Level           string  `json:"rpiCameraH264Level" koanf:"rpiCameraH264Level" check:"oneof=4.0 4.1 4.2" later:"true"`

	// Commands.
	RunOnInit                  string   `json:"runOnInit" koanf:"runOnInit" check:"command" secret:"command"`
	RunOnInitRestart           bool     `json:"runOnInitRestart" koanf:"runOnInitRestart"`
	RunOnDemand                string   `json:"runOnDemand" koanf:"runOnDemand" check:"command" secret:"command"`
	RunOnDemandRestart         bool     `json:"runOnDemandRestart" koanf:"runOnDemandRestart"`
	RunOnDemandStartTimeout    Duration `json:"runOnDemandStartTimeout" koanf:"runOnDemandStartTimeout" check:"positive"`
	RunOnDemandCloseAfter      Duration `json:"runOnDemandCloseAfter" koanf:"runOnDemandCloseAfter" check:"notNegative"`
	RunOnUnDemand              string   `json:"runOnUnDemand" koanf:"runOnUnDemand" check:"command" secret:"command"`
	RunOnReady                 string   `json:"runOnReady" koanf:"runOnReady" check:"command" secret:"command"`
	RunOnReadyRestart          bool     `json:"runOnReadyRestart" koanf:"runOnReadyRestart"`
	RunOnNotReady              string   `json:"runOnNotReady" koanf:"runOnNotReady" check:"command" secret:"command"`
	RunOnRead                  string   `json:"runOnRead" koanf:"runOnRead" check:"command" secret:"command"`
	RunOnReadRestart           bool     `json:"runOnReadRestart" koanf:"runOnReadRestart"`
	RunOnUnread                string   `json:"runOnUnread" koanf:"runOnUnread" check:"command" secret:"command"`
	RunOnRecordSegmentCreate   string   `json:"runOnRecordSegmentCreate" koanf:"runOnRecordSegmentCreate" check:"command" secret:"command"`
	RunOnRecordSegmentComplete string   `json:"runOnRecordSegmentComplete" koanf:"runOnRecordSegmentComplete" check:"command" secret:"command"`
	RunOnAvailable             string   `json:"runOnAvailable" koanf:"runOnAvailable" check:"command" secret:"command"`
	RunOnAvailableRestart      bool     `json:"runOnAvailableRestart" koanf:"runOnAvailableRestart"`
	RunOnUnavailable           string   `json:"runOnUnavailable" koanf:"runOnUnavailable" check:"command" secret:"command"`
	RunOnOnline                string   `json:"runOnOnline" koanf:"runOnOnline" check:"command" secret:"command"`
	RunOnOnlineRestart         bool     `json:"runOnOnlineRestart" koanf:"runOnOnlineRestart"`
	RunOnOffline               string   `json:"runOnOffline" koanf:"runOnOffline" check:"command" secret:"command"`

	// Forwarding.
	Forward []string `json:"forward" koanf:"forward"`

	// Media over QUIC.
	MoQTransport string `json:"moqTransport" koanf:"moqTransport" later:"true"`

	legacyPath
}
