/*
 * publisher.js sends a live stream from a web page, by WebRTC (WHIP).
 *
 * It needs nothing else and no build step. Load it from the server, or keep a copy of
 * what the server sends:
 *
 *   <script src="http://SERVER:8889/PATH/publisher.js"></script>
 *   <script>
 *     const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
 *     const publisher = new MediaMTXWebRTCPublisher({
 *       url: 'http://SERVER:8889/PATH/whip',
 *       stream,
 *       videoCodec: 'video/H264',
 *       videoBitrate: 2000,
 *       onConnected: () => { console.log('on air'); },
 *       onError: (text) => { console.log(text); },
 *     });
 *     // and in the end: publisher.close();
 *   </script>
 */
globalThis.MediaMTXWebRTCPublisher = (() => {
  'use strict';

  // connection.js is inserted here

  /** What the server means by a status, when somebody publishes. */
  const explain = {
    400: 'the server does not accept the request',
    401: 'the server asks for a user name and a password, or those given are wrong',
    403: 'publishing is not allowed',
    404: 'the server has no such path',
    405: 'the URL is not one of a WHIP server',
    406: 'the server does not take the codecs',
    409: 'somebody else is publishing here',
    429: 'the server has too many publishers or requests',
    503: 'the server has no room for another publisher',
  };

  /** Codecs that go along with others: retransmission and forward error correction. */
  const helpers = ['rtx', 'red', 'ulpfec', 'flexfec-03'];

  /** The name in "video/H264", "h264/90000" or "H264". */
  const codecName = (codec) => codec.toLowerCase().replace(/^(audio|video)\//, '').split('/')[0];

  /** The codecs to be offered if one is chosen: that one in all its profiles, and helpers. */
  const chooseCodecs = (kind, wanted) => {
    const all = RTCRtpSender.getCapabilities(kind)?.codecs ?? [];
    const chosen = all.filter(({ mimeType }) => codecName(mimeType) === codecName(wanted));
    if (chosen.length === 0) {
      throw new Failure('this browser cannot send ' + wanted, { final: true });
    }
    return chosen.concat(all.filter(({ mimeType }) => helpers.includes(codecName(mimeType))));
  };

  /** Whether a microphone or file has two channels; browsers do not always say it. */
  const isStereo = (track) => (track.getSettings().channelCount ?? 2) > 1;

  /**
   * Publishes a stream. It connects at once, and again whenever the connection
   * fails, until it is closed.
   */
  class MediaMTXWebRTCPublisher {
    #conf;
    #connection;

    /**
     * @param {object} conf
     * @param {string} conf.url - URL of the WHIP endpoint: http://SERVER:8889/PATH/whip. It may be relative to the page.
     * @param {string} [conf.user] - user name.
     * @param {string} [conf.pass] - password.
     * @param {string} [conf.token] - bearer token, such as a JWT, in place of user and pass.
     * @param {MediaStream} conf.stream - what is sent: of getUserMedia, getDisplayMedia, captureStream. It stays the
     *   caller's, who stops its tracks.
     * @param {string} [conf.videoCodec] - "video/H264", "h264/90000" and "H264" are the same. Default: the browser's choice.
     * @param {number} [conf.videoBitrate] - the most that video takes, in kbit/s. Default: the browser's choice.
     * @param {string} [conf.audioCodec] - such as "audio/opus". Default: the browser's choice.
     * @param {number} [conf.audioBitrate] - the most that audio takes, in kbit/s. Default: the browser's choice.
     * @param {boolean} [conf.audioVoice] - true: sound is a voice, sent in mono. Default: false, any sound, sent in stereo
     *   if it is.
     * @param {() => void} [conf.onConnected] - is called whenever a connection is there.
     * @param {(text: string, info: {status: number, retryIn: ?number}) => void} [conf.onError] - is told what went
     *   wrong, in words for the user; the status of the answer of the server, or 0; and in how many milliseconds there
     *   will be another try, or null if there will be none.
     */
    constructor(conf) {
      this.#conf = conf;
      this.#connection = new Connection(conf, {
        explain,
        prepare: (pc) => { this.#addTracks(pc); },
        offer: (sdp) => this.#editOffer(sdp),
        answer: (sdp) => this.#editAnswer(sdp),
        negotiated: (pc) => this.#limit(pc),
        connected: () => { conf.onConnected?.(); },
      });
    }

    #addTracks(pc) {
      const { stream, videoCodec, audioCodec, audioVoice } = this.#conf;
      if (stream.getTracks().length === 0) {
        throw new Failure('there is nothing to be sent: neither video nor audio', { final: true });
      }
      for (const track of stream.getTracks()) {
        if (track.kind === 'audio' && 'contentHint' in track && track.contentHint === '') {
          track.contentHint = audioVoice ? 'speech' : 'music';
        }
        const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
        const codec = track.kind === 'video' ? videoCodec : audioCodec;
        if (codec) {
          transceiver.setCodecPreferences(chooseCodecs(track.kind, codec));
        }
      }
    }

    #stereo() {
      return !this.#conf.audioVoice && this.#conf.stream.getAudioTracks().some(isStereo);
    }

    /** Says that sound is stereo, and that lost packets of it can be asked for again. */
    #editOffer(text) {
      const sdp = new SDP(text);
      for (const section of sdp.ofKind('audio')) {
        for (const payloadType of sdp.payloadTypes(section, 'opus/48000/2')) {
          sdp.setParameters(section, payloadType, this.#stereo() ? { stereo: 1, 'sprop-stereo': 1 } : { stereo: 0, 'sprop-stereo': 0 });
          sdp.addNack(section, payloadType);
        }
      }
      return String(sdp);
    }

    /**
     * Tells the encoders, which obey the answer, about stereo and bit rates.
     * Without a start, video would begin with 300 kbit/s and take seconds to get
     * better.
     */
    #editAnswer(text) {
      const { audioBitrate, videoBitrate } = this.#conf;
      const sdp = new SDP(text);
      for (const section of sdp.ofKind('audio')) {
        for (const payloadType of sdp.payloadTypes(section, 'opus/48000/2')) {
          sdp.setParameters(section, payloadType, {
            stereo: this.#stereo() ? 1 : 0,
            ...(audioBitrate > 0 ? { maxaveragebitrate: Math.round(audioBitrate * 1000) } : {}),
          });
        }
      }
      if (videoBitrate > 0) {
        for (const section of sdp.ofKind('video')) {
          const payloadType = section[0].split(' ')[3];
          sdp.setParameters(section, payloadType, { 'x-google-start-bitrate': Math.round(Math.min(videoBitrate, 4000)) });
        }
      }
      return String(sdp);
    }

    /** Sets the highest bit rates. */
    async #limit(pc) {
      for (const sender of pc.getSenders()) {
        const kilobits = sender.track?.kind === 'video' ? this.#conf.videoBitrate : this.#conf.audioBitrate;
        if (!(kilobits > 0)) {
          continue;
        }
        const parameters = sender.getParameters();
        for (const encoding of parameters.encodings ?? []) {
          encoding.maxBitrate = Math.round(kilobits * 1000);
        }
        await sender.setParameters(parameters);
      }
    }

    /** Ends the session, for good. The tracks of the stream go on. */
    close() {
      this.#connection.close();
    }

    /**
     * Statistics of the connection.
     * @returns {Promise<?RTCStatsReport>} null while there is no connection.
     */
    async stats() {
      return this.#connection.pc?.getStats() ?? null;
    }
  }

  return MediaMTXWebRTCPublisher;
})();
