package logs

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// Entry is one line of a log with the lines that belong to it.
type Entry struct {
	Process string
	Time    time.Time // zero if unknown
	Level   Level
	Message string
	Attrs   []Attr   // of a JSON line, in their order, without time, level and msg
	Raw     string   // the line unchanged
	More    []string // the following lines without a time
	// Continued reports that the first lines of the entry were returned before: only More is new.
	Continued bool
	json      []Attr // all members of a JSON line
	unread    bool   // Raw looks like a service's line, and only its time was parsed; see read
}

// read parses the rest of a line of which only the time was parsed.
func (e *Entry) read() {
	if e.unread && !e.object(e.Raw) {
		e.Message = e.Raw
	}
	e.unread = false
}

// Attr is a member of a JSON object.
type Attr struct {
	Key   string
	Value json.RawMessage
}

// Text returns the value for people: a string without quotes, anything else as JSON.
func (a Attr) Text() string {
	var text string
	if json.Unmarshal(a.Value, &text) == nil {
		return text
	}
	return string(a.Value)
}

// Level is the importance of a line.
type Level int

// The levels. A line without a level counts as Info.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// String returns slog's name of the level.
func (l Level) String() string { return [...]string{"DEBUG", "INFO", "WARN", "ERROR"}[l] }

// ParseLevel parses the name of a level, as written by any of the programs.
func ParseLevel(name string) (l Level, ok bool) {
	switch name = strings.ToUpper(name); {
	case strings.HasPrefix(name, "DEBUG"), name == "TRACE":
		return Debug, true
	case strings.HasPrefix(name, "INFO"), name == "LOG", name == "NOTICE":
		return Info, true
	case strings.HasPrefix(name, "WARN"):
		return Warn, true
	case strings.HasPrefix(name, "ERROR"), name == "FATAL", name == "PANIC", name == "SEVERE", name == "CRITICAL":
		return Error, true
	}
	return Info, false
}

// parser parses the lines of one process in order.
type parser struct {
	process string
	local   *time.Location // of times without a zone
	stamp   *regexp.Regexp
	level   *regexp.Regexp
	last    Entry // the latest entry; lines that belong to it have its time and level
	// skims reports whether a line will probably not be shown: parsing JSON takes most of the time,
	// and in a long log few lines name an order. It may be nil.
	skims func(raw string) bool
}

func newParser(process string, local *time.Location) *parser {
	return &parser{
		process: process, local: local,
		// 2026-11-29T03:18:44.117Z, 2026/11/29 03:18:44, 2026-11-29 03:18:44,117 UTC, also in brackets.
		stamp: regexp.MustCompile(`^\[?(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z\b|[+-]\d\d:?\d\d|UTC\b|GMT\b|[A-Z]{3,4} \[)?\]?\s*`),
		level: regexp.MustCompile(`^(?:\[?\d+\]?\s+)?\[?(TRACE|DEBUG[1-5]?|INFO|NOTICE|LOG|WARN|WARNING|ERROR|SEVERE|FATAL|PANIC|CRITICAL)\b\]?:?\s*`),
	}
}

// parse builds entries from lines. The first is Continued if it belongs to the latest entry of the
// previous call.
func (p *parser) parse(lines []string) (out []Entry) {
	for _, raw := range lines {
		e, begins := p.begin(strings.TrimRight(raw, "\r"))
		switch {
		case begins:
			p.last = e
			out = append(out, e)
		case len(out) > 0:
			out[len(out)-1].More = append(out[len(out)-1].More, e.Raw)
		default:
			p.last.read() // its level counts
			more := p.last
			more.Process, more.Continued, more.More = p.process, true, []string{e.Raw}
			out = append(out, more)
		}
	}
	return out
}

// begin parses a line. begins is false if the line belongs to the line before it.
func (p *parser) begin(raw string) (e Entry, begins bool) {
	e = Entry{Process: p.process, Raw: raw, Level: Info, Message: raw}
	if at, ok := p.skim(raw); ok {
		e.Time, e.unread = at, true
		return e, true
	}
	if strings.HasPrefix(raw, "{") && e.object(raw) {
		return e, true
	}
	if strings.HasPrefix(raw, "panic: ") || strings.HasPrefix(raw, "fatal error: ") {
		e.Time, e.Level = p.last.Time, Error // it ends the process
		return e, true
	}
	if rest, started := strings.CutPrefix(raw, "--- "); started { // the line that a start writes
		if i := strings.LastIndexByte(rest, ' '); i > 0 {
			if at, err := time.Parse(time.RFC3339Nano, rest[i+1:]); err == nil {
				e.Time, e.Message = at, rest[:i]
				return e, true
			}
		}
	}
	at, rest, ok := p.time(raw)
	if !ok {
		return e, false
	}
	if strings.HasPrefix(rest, "{") && e.object(rest) { // Docker's time before a JSON line
		return e, true
	}
	e.Time, e.Message = at, rest
	if m := p.level.FindStringSubmatch(rest); m != nil {
		e.Level, _ = ParseLevel(m[1])
		e.Message = rest[len(m[0]):]
		return e, true
	}
	for _, part := range []string{"DETAIL:", "HINT:", "STATEMENT:", "CONTEXT:", "QUERY:", "LOCATION:"} {
		if strings.Contains(firstWords(rest), part) { // PostgreSQL continues the line before
			return e, false
		}
	}
	for _, word := range strings.FieldsFunc(firstWords(rest), func(r rune) bool { return strings.ContainsRune(" \t[]:|", r) }) {
		if l, known := ParseLevel(word); known && word == strings.ToUpper(word) {
			e.Level = l
			break
		}
	}
	return e, true
}

// skim parses only the time of a slog line that will probably not be shown.
func (p *parser) skim(raw string) (at time.Time, ok bool) {
	rest, slogs := strings.CutPrefix(raw, `{"time":"`)
	if !slogs || p.skims == nil || !strings.HasSuffix(rest, "}") || !p.skims(raw) {
		return at, false
	}
	text, _, _ := strings.Cut(rest, `"`)
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

// firstWords returns enough of a line for a prefix of level, thread and class.
func firstWords(text string) string { return text[:min(len(text), 100)] }

// time parses the time at the beginning of a line.
func (p *parser) time(raw string) (at time.Time, rest string, ok bool) {
	m := p.stamp.FindStringSubmatch(raw)
	if m == nil {
		return at, raw, false
	}
	rest = raw[len(m[0]):]
	zone, place := m[6], p.local
	switch {
	case zone == "Z" || zone == "UTC" || zone == "GMT":
		place = time.UTC
	case strings.HasSuffix(zone, " ["): // the short name of another zone, with the process id behind it
		rest = "[" + rest
	case zone != "":
		offset, err := time.Parse("-0700", strings.ReplaceAll(zone, ":", ""))
		if err == nil {
			place = offset.Location()
		}
	}
	fraction := (m[5] + "000000000")[:9]
	at, err := time.ParseInLocation("2006-01-02 15:04:05.000000000", m[1]+"-"+m[2]+"-"+m[3]+" "+m[4]+"."+fraction, place)
	return at, rest, err == nil
}

// object parses a JSON line. ok is false if it is not JSON, or has no time.
func (e *Entry) object(raw string) (ok bool) {
	in := json.NewDecoder(strings.NewReader(raw))
	if _, err := in.Token(); err != nil {
		return false
	}
	var all, attrs []Attr
	var at time.Time
	level, message := Info, ""
	for in.More() {
		key, err := in.Token()
		name, isText := key.(string)
		var value json.RawMessage
		if err != nil || !isText || in.Decode(&value) != nil {
			return false
		}
		a := Attr{name, compact(value)}
		all = append(all, a)
		switch name {
		case "time", "timestamp", "@timestamp", "ts":
			if parsed, err := time.Parse(time.RFC3339Nano, a.Text()); err == nil {
				at = parsed
				continue
			}
		case "level", "severity":
			if l, known := ParseLevel(a.Text()); known {
				level = l
				continue
			}
		case "msg", "message":
			message = a.Text()
			continue
		}
		attrs = append(attrs, a)
	}
	if _, err := in.Token(); err != nil || at.IsZero() || in.More() {
		return false
	}
	e.Time, e.Level, e.Message, e.Attrs, e.json = at, level, message, attrs, all
	return true
}

func compact(value json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return value
	}
	return b.Bytes()
}
