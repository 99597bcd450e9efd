package config

// Global holds the keys that concern the whole server.
type Global struct {
	// Logging.
	LogLevel        LogLevel         `json:"logLevel" koanf:"logLevel"`
	LogDestinations []LogDestination `json:"logDestinations" koanf:"logDestinations"`
	LogStructured   bool             `json:"logStructured" koanf:"logStructured"`
	LogFile         string           `json:"logFile" koanf:"logFile" check:"notEmpty"`
	SysLogPrefix    string           `json:"sysLogPrefix" koanf:"sysLogPrefix" check:"notEmpty"`
	DumpPackets     bool             `json:"dumpPackets" koanf:"dumpPackets"`

	// Network.
	ReadTimeout       Duration `json:"readTimeout" koanf:"readTimeout" check:"positive"`
	WriteTimeout      Duration `json:"writeTimeout" koanf:"writeTimeout" check:"positive"`
	WriteQueueSize    int      `json:"writeQueueSize" koanf:"writeQueueSize" check:"queueSize"`
	UDPMaxPayloadSize int      `json:"udpMaxPayloadSize" koanf:"udpMaxPayloadSize" check:"payloadSize"`
	UDPReadBufferSize int      `json:"udpReadBufferSize" koanf:"udpReadBufferSize" check:"notNegative"`

	// Commands.
	RunOnConnect        string    `json:"runOnConnect" koanf:"runOnConnect" check:"command" secret:"command"`
	RunOnConnectRestart bool      `json:"runOnConnectRestart" koanf:"runOnConnectRestart"`
	RunOnDisconnect     string    `json:"runOnDisconnect" koanf:"runOnDisconnect" check:"command" secret:"command"`
	Webhooks            []Webhook `json:"webhooks" koanf:"webhooks"`

	// Authentication.
	AuthMethod             AuthMethod   `json:"authMethod" koanf:"authMethod"`
	AuthInternalUsers      []User       `json:"authInternalUsers" koanf:"authInternalUsers"`
	AuthHTTPAddress        string       `json:"authHTTPAddress" koanf:"authHTTPAddress" check:"httpURL"`
	AuthHTTPFingerprint    string       `json:"authHTTPFingerprint" koanf:"authHTTPFingerprint" check:"fingerprint"`
	AuthHTTPExclude        []Permission `json:"authHTTPExclude" koanf:"authHTTPExclude"`
	AuthJWTJWKS            string       `json:"authJWTJWKS" koanf:"authJWTJWKS" check:"httpURL"`
	AuthJWTJWKSFingerprint string       `json:"authJWTJWKSFingerprint" koanf:"authJWTJWKSFingerprint" check:"fingerprint"`
	AuthJWTClaimKey        string       `json:"authJWTClaimKey" koanf:"authJWTClaimKey" check:"notEmpty"`
	AuthJWTIssuer          string       `json:"authJWTIssuer" koanf:"authJWTIssuer"`
	AuthJWTAudience        string       `json:"authJWTAudience" koanf:"authJWTAudience"`
	AuthJWTExclude         []Permission `json:"authJWTExclude" koanf:"authJWTExclude"`
	AuthJWTInHTTPQuery     bool         `json:"authJWTInHTTPQuery" koanf:"authJWTInHTTPQuery"`
	AuthJWTKickOnExpiry    bool         `json:"authJWTKickOnExpiry" koanf:"authJWTKickOnExpiry"`
	AuthHTTPCacheDuration  Duration     `json:"authHTTPCacheDuration" koanf:"authHTTPCacheDuration" check:"notNegative"`

	// Control API.
	API               bool        `json:"api" koanf:"api"`
	APIAddress        string      `json:"apiAddress" koanf:"apiAddress" check:"address"`
	APIEncryption     bool        `json:"apiEncryption" koanf:"apiEncryption"`
	APIServerKey      string      `json:"apiServerKey" koanf:"apiServerKey"`
	APIServerCert     string      `json:"apiServerCert" koanf:"apiServerCert"`
	APIAllowOrigins   []string    `json:"apiAllowOrigins" koanf:"apiAllowOrigins"`
	APITrustedProxies []IPNetwork `json:"apiTrustedProxies" koanf:"apiTrustedProxies"`
	APIPersist        string      `json:"apiPersist" koanf:"apiPersist"`

	// Metrics.
	Metrics               bool        `json:"metrics" koanf:"metrics"`
	MetricsAddress        string      `json:"metricsAddress" koanf:"metricsAddress" check:"address"`
	MetricsEncryption     bool        `json:"metricsEncryption" koanf:"metricsEncryption"`
	MetricsServerKey      string      `json:"metricsServerKey" koanf:"metricsServerKey"`
	MetricsServerCert     string      `json:"metricsServerCert" koanf:"metricsServerCert"`
	MetricsAllowOrigins   []string    `json:"metricsAllowOrigins" koanf:"metricsAllowOrigins"`
	MetricsTrustedProxies []IPNetwork `json:"metricsTrustedProxies" koanf:"metricsTrustedProxies"`

	// Profiler.
	Pprof               bool        `json:"pprof" koanf:"pprof"`
	PprofAddress        string      `json:"pprofAddress" koanf:"pprofAddress" check:"address"`
	PprofEncryption     bool        `json:"pprofEncryption" koanf:"pprofEncryption"`
	PprofServerKey      string      `json:"pprofServerKey" koanf:"pprofServerKey"`
	PprofServerCert     string      `json:"pprofServerCert" koanf:"pprofServerCert"`
	PprofAllowOrigins   []string    `json:"pprofAllowOrigins" koanf:"pprofAllowOrigins"`
	PprofTrustedProxies []IPNetwork `json:"pprofTrustedProxies" koanf:"pprofTrustedProxies"`

	// Recordings of all paths.
	RecordMaxTotalSize Size `json:"recordMaxTotalSize" koanf:"recordMaxTotalSize" check:"notNegative"`

	// Playback server.
	Playback               bool        `json:"playback" koanf:"playback"`
	PlaybackAddress        string      `json:"playbackAddress" koanf:"playbackAddress" check:"address"`
	PlaybackEncryption     bool        `json:"playbackEncryption" koanf:"playbackEncryption"`
	PlaybackServerKey      string      `json:"playbackServerKey" koanf:"playbackServerKey"`
	PlaybackServerCert     string      `json:"playbackServerCert" koanf:"playbackServerCert"`
	PlaybackAllowOrigins   []string    `json:"playbackAllowOrigins" koanf:"playbackAllowOrigins"`
	PlaybackTrustedProxies []IPNetwork `json:"playbackTrustedProxies" koanf:"playbackTrustedProxies"`

	// RTSP server.
	RTSP               bool             `json:"rtsp" koanf:"rtsp"`
	RTSPTransports     []Transport      `json:"rtspTransports" koanf:"rtspTransports"`
	RTSPEncryption     Encryption       `json:"rtspEncryption" koanf:"rtspEncryption"`
	RTSPAddress        string           `json:"rtspAddress" koanf:"rtspAddress" check:"address"`
	RTSPSAddress       string           `json:"rtspsAddress" koanf:"rtspsAddress" check:"address"`
	RTPAddress         string           `json:"rtpAddress" koanf:"rtpAddress" check:"address"`
	RTCPAddress        string           `json:"rtcpAddress" koanf:"rtcpAddress" check:"address"`
	MulticastIPRange   string           `json:"multicastIPRange" koanf:"multicastIPRange" check:"multicastRange"`
	MulticastRTPPort   int              `json:"multicastRTPPort" koanf:"multicastRTPPort" check:"port"`
	MulticastRTCPPort  int              `json:"multicastRTCPPort" koanf:"multicastRTCPPort" check:"port"`
	SRTPAddress        string           `json:"srtpAddress" koanf:"srtpAddress" check:"address"`
	SRTCPAddress       string           `json:"srtcpAddress" koanf:"srtcpAddress" check:"address"`
	MulticastSRTPPort  int              `json:"multicastSRTPPort" koanf:"multicastSRTPPort" check:"port"`
	MulticastSRTCPPort int              `json:"multicastSRTCPPort" koanf:"multicastSRTCPPort" check:"port"`
	RTSPServerKey      string           `json:"rtspServerKey" koanf:"rtspServerKey"`
	RTSPServerCert     string           `json:"rtspServerCert" koanf:"rtspServerCert"`
	RTSPAuthMethods    []RTSPAuthMethod `json:"rtspAuthMethods" koanf:"rtspAuthMethods"`
	RTSPTrustedProxies []IPNetwork      `json:"rtspTrustedProxies" koanf:"rtspTrustedProxies"`

	// RTMP server.
	RTMP               bool        `json:"rtmp" koanf:"rtmp"`
	RTMPEncryption     Encryption  `json:"rtmpEncryption" koanf:"rtmpEncryption"`
	RTMPAddress        string      `json:"rtmpAddress" koanf:"rtmpAddress" check:"address"`
	RTMPSAddress       string      `json:"rtmpsAddress" koanf:"rtmpsAddress" check:"address"`
	RTMPServerKey      string      `json:"rtmpServerKey" koanf:"rtmpServerKey"`
	RTMPServerCert     string      `json:"rtmpServerCert" koanf:"rtmpServerCert"`
	RTMPTrustedProxies []IPNetwork `json:"rtmpTrustedProxies" koanf:"rtmpTrustedProxies"`

	// HLS server.
	HLS                bool        `json:"hls" koanf:"hls"`
	HLSAddress         string      `json:"hlsAddress" koanf:"hlsAddress" check:"address"`
	HLSEncryption      bool        `json:"hlsEncryption" koanf:"hlsEncryption"`
	HLSServerKey       string      `json:"hlsServerKey" koanf:"hlsServerKey"`
	HLSServerCert      string      `json:"hlsServerCert" koanf:"hlsServerCert"`
	HLSAllowOrigins    []string    `json:"hlsAllowOrigins" koanf:"hlsAllowOrigins"`
	HLSTrustedProxies  []IPNetwork `json:"hlsTrustedProxies" koanf:"hlsTrustedProxies"`
	HLSAlwaysRemux     bool        `json:"hlsAlwaysRemux" koanf:"hlsAlwaysRemux"`
	HLSVariant         HLSVariant  `json:"hlsVariant" koanf:"hlsVariant"`
	HLSSegmentCount    int         `json:"hlsSegmentCount" koanf:"hlsSegmentCount" check:"positive"`
	HLSSegmentDuration Duration    `json:"hlsSegmentDuration" koanf:"hlsSegmentDuration" check:"positive"`
	HLSPartDuration    Duration    `json:"hlsPartDuration" koanf:"hlsPartDuration" check:"positive"`
	HLSSegmentMaxSize  Size        `json:"hlsSegmentMaxSize" koanf:"hlsSegmentMaxSize" check:"positive"`
	HLSDirectory       string      `json:"hlsDirectory" koanf:"hlsDirectory"`
	HLSMuxerCloseAfter Duration    `json:"hlsMuxerCloseAfter" koanf:"hlsMuxerCloseAfter" check:"positive"`
	HLSCDNSecret       string      `json:"hlsCDNSecret" koanf:"hlsCDNSecret" secret:"true"`

	// WebRTC server.
	WebRTC                      bool        `json:"webrtc" koanf:"webrtc"`
	WebRTCAddress               string      `json:"webrtcAddress" koanf:"webrtcAddress" check:"address"`
	WebRTCEncryption            bool        `json:"webrtcEncryption" koanf:"webrtcEncryption"`
	WebRTCServerKey             string      `json:"webrtcServerKey" koanf:"webrtcServerKey"`
	WebRTCServerCert            string      `json:"webrtcServerCert" koanf:"webrtcServerCert"`
	WebRTCAllowOrigins          []string    `json:"webrtcAllowOrigins" koanf:"webrtcAllowOrigins"`
	WebRTCTrustedProxies        []IPNetwork `json:"webrtcTrustedProxies" koanf:"webrtcTrustedProxies"`
	WebRTCLocalUDPAddress       string      `json:"webrtcLocalUDPAddress" koanf:"webrtcLocalUDPAddress" check:"optionalAddress"`
	WebRTCLocalTCPAddress       string      `json:"webrtcLocalTCPAddress" koanf:"webrtcLocalTCPAddress" check:"optionalAddress"`
	WebRTCIPsFromInterfaces     bool        `json:"webrtcIPsFromInterfaces" koanf:"webrtcIPsFromInterfaces"`
	WebRTCIPsFromInterfacesList []string    `json:"webrtcIPsFromInterfacesList" koanf:"webrtcIPsFromInterfacesList"`
	WebRTCAdditionalHosts       []string    `json:"webrtcAdditionalHosts" koanf:"webrtcAdditionalHosts"`
	WebRTCICEServers2           []ICEServer `json:"webrtcICEServers2" koanf:"webrtcICEServers2"`
	WebRTCSTUNGatherTimeout     Duration    `json:"webrtcSTUNGatherTimeout" koanf:"webrtcSTUNGatherTimeout" check:"positive"`
	WebRTCHandshakeTimeout      Duration    `json:"webrtcHandshakeTimeout" koanf:"webrtcHandshakeTimeout" check:"positive"`
	WebRTCTrackGatherTimeout    Duration    `json:"webrtcTrackGatherTimeout" koanf:"webrtcTrackGatherTimeout" check:"positive"`

	// SRT server.
	SRT        bool   `json:"srt" koanf:"srt"`
	SRTAddress string `json:"srtAddress" koanf:"srtAddress" check:"address"`

	// Media over QUIC server.
	MoQ               bool        `json:"moq" koanf:"moq" later:"true"`
	MoQHTTP2Address   string      `json:"moqHTTP2Address" koanf:"moqHTTP2Address" check:"address" later:"true"`
	MoQHTTP3Address   string      `json:"moqHTTP3Address" koanf:"moqHTTP3Address" check:"address" later:"true"`
	MoQQUICAddress    string      `json:"moqQUICAddress" koanf:"moqQUICAddress" check:"address" later:"true"`
	MoQServerKey      string      `json:"moqServerKey" koanf:"moqServerKey" later:"true"`
	MoQServerCert     string      `json:"moqServerCert" koanf:"moqServerCert" later:"true"`
	MoQAllowOrigins   []string    `json:"moqAllowOrigins" koanf:"moqAllowOrigins" later:"true"`
	MoQTrustedProxies []IPNetwork `json:"moqTrustedProxies" koanf:"moqTrustedProxies" later:"true"`
}
