package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/org/mtx/router"
)

// paths checks each path.
func (v *validator) paths() {
	catchAll := ""
	for _, name := range v.doc.pathNames() {
		p := v.doc.Paths[name]
		at := keyPath{"paths", name}
		v.name(at, name, &catchAll)
		v.rules(reflect.ValueOf(&p).Elem(), at, true)
		v.values(at, &p, func(key string) bool { return v.isSet(at.with(key)) })
		v.consistency(at, &p)
	}
}

func (v *validator) name(at keyPath, name string, catchAll *string) {
	switch {
	case isCatchAll(name):
		if *catchAll != "" {
			v.problems.add(v.at(at), "%s: this is the same as %s, so only one of them can be there", at, quote(*catchAll))
		}
		*catchAll = name
	case strings.HasPrefix(name, "~"):
		if _, err := regexp.Compile(name[1:]); err != nil {
			v.problems.add(v.at(at), "%s: the name must be a valid regular expression after the tilde", at)
		}
	default:
		if err := router.ValidatePathName(name); err != nil {
			v.problems.add(v.at(at), "%s: %s", at, strings.TrimPrefix(err.Error(), fmt.Sprintf("path name %q ", name)))
		}
	}
}

// inherited returns where the value of a key of a path was written.
func (v *validator) inherited(at keyPath, key string) keyPath {
	if len(at) == 2 && !v.isSet(at.with(key)) {
		if p := (keyPath{"pathDefaults", key}); v.isSet(p) {
			return p
		}
	}
	return at.with(key)
}

// values checks keys whose rule does not fit in a tag. Only those that own
// accepts.
func (v *validator) values(at keyPath, p *Path, own func(string) bool) {
	check := func(key, value string, err error) {
		if err != nil && own(key) {
			v.bad(at.with(key), &field{secret: "url"}, value, err.Error())
		}
	}
	check("source", p.Source, checkSource(p.Source))
	if p.SourceRedirect != "" {
		check("sourceRedirect", p.SourceRedirect, checkRedirect(p.SourceRedirect))
	}
	if p.Fallback != "" {
		check("fallback", p.Fallback, checkRedirect(p.Fallback))
	}
	if own("sources") {
		for i, s := range p.Sources {
			err := checkSource(s)
			if s == sourcePublisher || s == sourceRedirect {
				err = errors.New("must be a source that is pulled")
			}
			if err != nil {
				v.bad(at.with("sources", strconv.Itoa(i)), &field{secret: "url"}, s, err.Error())
			}
		}
	}
	if own("forward") {
		for i, dest := range p.Forward {
			if err := checkForward(dest); err != nil {
				v.bad(at.with("forward", strconv.Itoa(i)), &field{secret: "url"}, dest, err.Error())
			}
		}
	}
	for _, c := range []struct{ key, value string }{
		{"publishUser", p.PublishUser},
		{"publishPass", p.PublishPass},
		{"readUser", p.ReadUser},
		{"readPass", p.ReadPass},
	} {
		if own(c.key) {
			v.credential(at.with(c.key), c.value)
		}
	}
	v.tracks(at, p, own)
}

func (v *validator) tracks(at keyPath, p *Path, own func(string) bool) {
	if !own("alwaysAvailableTracks") {
		return
	}
	for i, t := range p.AlwaysAvailableTracks {
		tp := at.with("alwaysAvailableTracks", strconv.Itoa(i))
		switch t.Codec {
		case "":
			v.problems.add(v.at(tp), "%s: codec must be set", tp)
		case "MPEG4Audio", "G711", "LPCM":
			if t.SampleRate == 0 || t.ChannelCount == 0 {
				v.problems.add(v.at(tp), "%s: sampleRate and channelCount must be set for %s", tp, t.Codec)
			}
		}
	}
}

// consistency checks how the keys of a path fit together.
func (v *validator) consistency(at keyPath, p *Path) {
	key := func(k string) keyPath { return v.inherited(at, k) }
	// A fault of a combination belongs to the path, though the value may come
	// from pathDefaults.
	fail := func(k, value, msg string) {
		v.problems.add(v.at(key(k)), "%s %s: %s", at.with(k), quote(redactURL(value)), msg)
	}
	several := len(p.Sources) > 0
	pulled := several || p.Source != sourcePublisher && p.Source != sourceRedirect
	dynamic := nameRank(p.Name) > 0
	switch {
	case several && p.Source != sourcePublisher:
		fail("sources", strings.Join(p.Sources, ", "), "source must not be set too")
	case p.Source == sourceRedirect && p.SourceRedirect == "":
		fail("source", p.Source, "sourceRedirect must be set too")
	case p.SourceRedirect != "" && p.Source != sourceRedirect:
		fail("sourceRedirect", p.SourceRedirect, "source must be redirect")
	case p.SourceOnDemand && !pulled:
		fail("sourceOnDemand", "yes", "source must be one that is pulled, not "+p.Source)
	case dynamic && pulled && !p.SourceOnDemand:
		fail("source", p.Source, "sourceOnDemand must be yes, since the path stands for any number of paths")
	}
	if p.RunOnDemand != "" && (several || p.Source != sourcePublisher) {
		v.problems.add(v.at(key("runOnDemand")), "%s: source must be publisher", at.with("runOnDemand"))
	}
	if p.RunOnUnDemand != "" && (several || p.Source != sourcePublisher) {
		v.problems.add(v.at(key("runOnUnDemand")), "%s: source must be publisher", at.with("runOnUnDemand"))
	}
	if p.RunOnInit != "" && dynamic {
		v.problems.add(v.at(key("runOnInit")), "%s: the path must have a fixed name", at.with("runOnInit"))
	}
	for _, one := range p.eachSource() {
		if sourceFamily(one.Source) == familyRTP && p.RTPSDP == "" {
			fail("source", one.Source, "rtpSDP must be set too")
		}
	}
	if p.AlwaysAvailable && (p.SourceOnDemand || p.RunOnDemand != "") {
		fail("alwaysAvailable", "yes", "the path must not be started on demand")
	}
	if p.AlwaysAvailable && p.Source == sourceRedirect {
		fail("alwaysAvailable", "yes", "source must not be redirect")
	}
	if p.AlwaysAvailable && len(p.AlwaysAvailableTracks) == 0 && p.AlwaysAvailableFile == "" {
		fail("alwaysAvailable", "yes", "alwaysAvailableTracks or alwaysAvailableFile must be set too")
	}
	v.rangeStart(p, fail)
	v.legacyCredentials(at, p)
}

func (v *validator) rangeStart(p *Path, fail func(k, value, msg string)) {
	switch p.RTSPRangeType {
	case "":
		return
	case "clock":
		if _, err := time.Parse("20060102T150405Z", p.RTSPRangeStart); err == nil {
			return
		}
		if _, err := time.Parse(time.RFC3339, p.RTSPRangeStart); err == nil {
			return
		}
		fail("rtspRangeStart", p.RTSPRangeStart, `must be a date such as "20230812T120000Z" if rtspRangeType is clock`)
	default:
		if _, err := parseDuration(p.RTSPRangeStart); err != nil {
			fail("rtspRangeStart", p.RTSPRangeStart, fmt.Sprintf(`must be a duration such as "10s" if rtspRangeType is %s`, p.RTSPRangeType))
		}
	}
}

// legacyCredentials checks the deprecated credentials of a path. They cannot be
// mixed with others: it would not be clear which ones count.
func (v *validator) legacyCredentials(at keyPath, p *Path) {
	if !p.hasCredentials() {
		return
	}
	where := origin{}
	for _, k := range []string{"publishUser", "publishPass", "publishIPs", "readUser", "readPass", "readIPs"} {
		if o := v.at(v.inherited(at, k)); v.isSet(v.inherited(at, k)) && (where.where == "" || o.line < where.line) {
			where = o
		}
	}
	switch {
	case v.doc.AuthMethod != "internal":
		v.problems.add(where, "%s: credentials of paths can be used only if authMethod is internal", at)
	case v.isSet(keyPath{"authInternalUsers"}):
		v.problems.add(where, "%s: credentials of paths cannot be used together with authInternalUsers", at)
	case p.PublishPass != "" && p.PublishUser == "":
		v.problems.add(where, "%s: publishUser must be set too, since publishPass is", at)
	case p.ReadPass != "" && p.ReadUser == "":
		v.problems.add(where, "%s: readUser must be set too, since readPass is", at)
	}
}

// prefixes converts networks.
func prefixes(l []IPNetwork) []netip.Prefix {
	out := make([]netip.Prefix, len(l))
	for i, n := range l {
		out[i] = n.Prefix
	}
	return out
}
