package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/quote"
)

// Line formats an entry for people: time of day, process, level, message and attributes, and its
// further lines indented below. width is that of the process's column. The date is added if it is
// not today's. A message with control characters is quoted; in further lines they are replaced.
// paint colours the level.
func Line(e Entry, width int, today time.Time, paint func(level string) string) string {
	var b strings.Builder
	if !e.Continued {
		at := "            "
		if !e.Time.IsZero() {
			at = e.Time.Local().Format("15:04:05.000")
			if day := e.Time.Local().Format(time.DateOnly); day != today.Local().Format(time.DateOnly) {
				at = day + " " + at
			}
		}
		fmt.Fprintf(&b, "%s  %-*s  %s  %s", at, width, clean(e.Process), paint(fmt.Sprintf("%-5s", e.Level)), quote.Full(tidy(e.Message)))
		for _, a := range e.Attrs {
			if a.Key != "service" || !isReplica(e.Process, a.Text()) {
				fmt.Fprintf(&b, "  %s=%s", quote.Word(a.Key), shown(a))
			}
		}
		b.WriteByte('\n')
	}
	for _, more := range e.More {
		fmt.Fprintf(&b, "    %s\n", clean(strings.ReplaceAll(more, "\t", "    ")))
	}
	return b.String()
}

// shown formats an attribute's value: text that could be misread is quoted, other values are JSON.
func shown(a Attr) string {
	var text string
	if json.Unmarshal(a.Value, &text) != nil {
		return clean(string(a.Value))
	}
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || !unicode.IsPrint(r) }) {
		return clean(strconv.Quote(text))
	}
	return text
}

// tidy trims a message and replaces each tab by a space; some programs put tabs between words.
func tidy(message string) string {
	return strings.ReplaceAll(strings.TrimSpace(message), "\t", " ")
}

// clean is [term.Clean] for a part of a line.
func clean(text string) string {
	return term.Clean(strings.NewReplacer("\n", "·", "\t", "·").Replace(text))
}

// JSON formats an entry for programs, on one line. A JSON line stays unchanged, with "process"
// before its members. Other lines become process, time, level and msg. Further lines are in
// "lines".
func JSON(e Entry) ([]byte, error) {
	members := []Attr{{Key: "process", Value: quoted(e.Process)}}
	switch {
	case e.Continued:
		members = append(members, Attr{"continued", json.RawMessage("true")})
		fallthrough
	case e.json == nil:
		if !e.Time.IsZero() {
			members = append(members, Attr{"time", quoted(e.Time.Format(time.RFC3339Nano))})
		}
		members = append(members, Attr{"level", quoted(e.Level.String())})
		if !e.Continued {
			members = append(members, Attr{"msg", quoted(e.Message)})
		}
	default:
		for _, a := range e.json {
			if a.Key != "process" && a.Key != "lines" {
				members = append(members, a)
			}
		}
	}
	if len(e.More) > 0 {
		lines, err := json.Marshal(e.More)
		if err != nil {
			return nil, fmt.Errorf("write the lines of %s as JSON: %w", e.Process, err)
		}
		members = append(members, Attr{"lines", lines})
	}
	var b bytes.Buffer
	for i, m := range members {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quoted(m.Key))
		b.WriteByte(':')
		b.Write(m.Value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// quoted returns a text as JSON, which cannot fail.
func quoted(text string) json.RawMessage {
	b, _ := json.Marshal(text)
	return b
}

// isReplica reports whether a process belongs to a service: "payment" and "payment-2" belong to
// payment.
func isReplica(process, service string) bool {
	number, ok := strings.CutPrefix(process, service)
	return ok && (number == "" || number[0] == '-' && strings.Trim(number, "-0123456789") == "")
}
