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

	// Sources in order of preference, in place of Source.
	Sources            []string `json:"sources" koanf:"sources" secret:"url"`
	SourceStallTimeout Duration `json:"sourceStallTimeout" koanf:"sourceStallTimeout" check:"positive"`

	// Readers and publishers.
	MaxReaders           int  `json:"maxReaders" koanf:"maxReaders" check:"notNegative"`
	UseAbsoluteTimestamp bool `json:"useAbsoluteTimestamp" koanf:"useAbsoluteTimestamp"`
	OverridePublisher    bool `json:"overridePublisher" koanf:"overridePublisher"`
	// PublisherGracePeriod is how long a stream outlives its publisher.
	PublisherGracePeriod Duration `json:"publisherGracePeriod" koanf:"publisherGracePeriod" check:"notNegative"`
	// GOPCache lets readers begin with the last key frame.
	GOPCache        bool `json:"gopCache" koanf:"gopCache"`
	GOPCacheMaxSize Size `json:"gopCacheMaxSize" koanf:"gopCacheMaxSize" check:"cacheSize"`

	// SRT.
	SRTReadPassphrase    string `json:"srtReadPassphrase" koanf:"srtReadPassphrase" check:"passphrase" secret:"true"`
	SRTPublishPassphrase string `json:"srtPublishPassphrase" koanf:"srtPublishPassphrase" check:"passphrase" secret:"true"`

	// Always available.
	AlwaysAvailable       bool           `json:"alwaysAvailable" koanf:"alwaysAvailable"`
	AlwaysAvailableTracks []OfflineTrack `json:"alwaysAvailableTracks" koanf:"alwaysAvailableTracks"`
	AlwaysAvailableFile   string         `json:"alwaysAvailableFile" koanf:"alwaysAvailableFile"`

	// Recording.
	Record                bool         `json:"record" koanf:"record"`
	RecordPath            string       `json:"recordPath" koanf:"recordPath" check:"recordPath"`
	RecordFormat          RecordFormat `json:"recordFormat" koanf:"recordFormat"`
	RecordPartDuration    Duration     `json:"recordPartDuration" koanf:"recordPartDuration" check:"positive"`
	RecordMaxPartSize     Size         `json:"recordMaxPartSize" koanf:"recordMaxPartSize" check:"positive"`
	RecordSegmentDuration Duration     `json:"recordSegmentDuration" koanf:"recordSegmentDuration" check:"positive"`
	RecordDeleteAfter     Duration     `json:"recordDeleteAfter" koanf:"recordDeleteAfter" check:"notNegative"`
	RecordMaxSize         Size         `json:"recordMaxSize" koanf:"recordMaxSize" check:"notNegative"`
	RecordMinFreeSpace    Size         `json:"recordMinFreeSpace" koanf:"recordMinFreeSpace" check:"notNegative"`

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
	RPiCameraCamID               int     `json:"rpiCameraCamID" koanf:"rpiCameraCamID" check:"notNegative"`
	RPiCameraSecondary           bool    `json:"rpiCameraSecondary" koanf:"rpiCameraSecondary" later:"true"`
	RPiCameraWidth               int     `json:"rpiCameraWidth" koanf:"rpiCameraWidth" check:"positive"`
	RPiCameraHeight              int     `json:"rpiCameraHeight" koanf:"rpiCameraHeight" check:"positive"`
	RPiCameraHFlip               bool    `json:"rpiCameraHFlip" koanf:"rpiCameraHFlip"`
	RPiCameraVFlip               bool    `json:"rpiCameraVFlip" koanf:"rpiCameraVFlip"`
	RPiCameraBrightness          float64 `json:"rpiCameraBrightness" koanf:"rpiCameraBrightness" check:"range=-1 1"`
	RPiCameraContrast            float64 `json:"rpiCameraContrast" koanf:"rpiCameraContrast" check:"range=0 16"`
	RPiCameraSaturation          float64 `json:"rpiCameraSaturation" koanf:"rpiCameraSaturation" check:"range=0 16"`
	RPiCameraSharpness           float64 `json:"rpiCameraSharpness" koanf:"rpiCameraSharpness" check:"range=0 16"`
	RPiCameraExposure            string  `json:"rpiCameraExposure" koanf:"rpiCameraExposure" check:"oneof=normal short long custom"`
	RPiCameraAWB                 string  `json:"rpiCameraAWB" koanf:"rpiCameraAWB" check:"oneof=auto incandescent tungsten fluorescent indoor daylight cloudy custom"`
	RPiCameraAWBGains            Gains   `json:"rpiCameraAWBGains" koanf:"rpiCameraAWBGains"`
	RPiCameraDenoise             string  `json:"rpiCameraDenoise" koanf:"rpiCameraDenoise" check:"oneof=off cdn_off cdn_fast cdn_hq"`
	RPiCameraShutter             int     `json:"rpiCameraShutter" koanf:"rpiCameraShutter" check:"notNegative"`
	RPiCameraMetering            string  `json:"rpiCameraMetering" koanf:"rpiCameraMetering" check:"oneof=centre spot matrix custom"`
	RPiCameraGain                float64 `json:"rpiCameraGain" koanf:"rpiCameraGain" check:"notNegative"`
	RPiCameraEV                  float64 `json:"rpiCameraEV" koanf:"rpiCameraEV" check:"range=-10 10"`
	RPiCameraROI                 string  `json:"rpiCameraROI" koanf:"rpiCameraROI"`
	RPiCameraHDR                 bool    `json:"rpiCameraHDR" koanf:"rpiCameraHDR"`
	RPiCameraTuningFile          string  `json:"rpiCameraTuningFile" koanf:"rpiCameraTuningFile"`
	RPiCameraMode                string  `json:"rpiCameraMode" koanf:"rpiCameraMode"`
	RPiCameraFPS                 float64 `json:"rpiCameraFPS" koanf:"rpiCameraFPS" check:"positive"`
	RPiCameraAfMode              string  `json:"rpiCameraAfMode" koanf:"rpiCameraAfMode" check:"oneof=auto manual continuous"`
	RPiCameraAfRange             string  `json:"rpiCameraAfRange" koanf:"rpiCameraAfRange" check:"oneof=normal macro full"`
	RPiCameraAfSpeed             string  `json:"rpiCameraAfSpeed" koanf:"rpiCameraAfSpeed" check:"oneof=normal fast"`
	RPiCameraLensPosition        float64 `json:"rpiCameraLensPosition" koanf:"rpiCameraLensPosition" check:"notNegative"`
	RPiCameraAfWindow            string  `json:"rpiCameraAfWindow" koanf:"rpiCameraAfWindow"`
	RPiCameraFlickerPeriod       int     `json:"rpiCameraFlickerPeriod" koanf:"rpiCameraFlickerPeriod" check:"notNegative"`
	RPiCameraTextOverlayEnable   bool    `json:"rpiCameraTextOverlayEnable" koanf:"rpiCameraTextOverlayEnable"`
	RPiCameraTextOverlay         string  `json:"rpiCameraTextOverlay" koanf:"rpiCameraTextOverlay"`
	RPiCameraCodec               string  `json:"rpiCameraCodec" koanf:"rpiCameraCodec" check:"oneof=auto hardwareH264 softwareH264 mjpeg"`
	RPiCameraIDRPeriod           int     `json:"rpiCameraIDRPeriod" koanf:"rpiCameraIDRPeriod" check:"positive"`
	RPiCameraBitrate             int     `json:"rpiCameraBitrate" koanf:"rpiCameraBitrate" check:"positive"`
	RPiCameraHardwareH264Profile string  `json:"rpiCameraHardwareH264Profile" koanf:"rpiCameraHardwareH264Profile" check:"oneof=baseline main high"`
	RPiCameraHardwareH264Level   string  `json:"rpiCameraHardwareH264Level" koanf:"rpiCameraHardwareH264Level" check:"oneof=4.0 4.1 4.2"`
	RPiCameraSoftwareH264Profile string  `json:"rpiCameraSoftwareH264Profile" koanf:"rpiCameraSoftwareH264Profile" check:"oneof=baseline main high"`
	RPiCameraSoftwareH264Level   string  `json:"rpiCameraSoftwareH264Level" koanf:"rpiCameraSoftwareH264Level" check:"oneof=4.0 4.1 4.2"`
	RPiCameraMJPEGQuality        int     `json:"rpiCameraMJPEGQuality" koanf:"rpiCameraMJPEGQuality" check:"range=1 100"`
	RPiCameraH264Profile         string  `json:"rpiCameraH264Profile" koanf:"rpiCameraH264Profile" check:"oneof=auto baseline main high"`
	RPiCameraH264Level           string  `json:"rpiCameraH264Level" koanf:"rpiCameraH264Level" check:"oneof=4.0 4.1 4.2"`

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
