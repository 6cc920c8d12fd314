package schema

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"eventshop.example/pkg/errs"
)

func (w *jsonWriter) primitive(path string, s *node, v any) error {
	switch s.logical {
	case "", logicalUUID:
	case logicalMillis, logicalLocalMillis:
		return w.time(path, v, time.Millisecond)
	case logicalMicros, logicalLocalMicros:
		return w.time(path, v, time.Microsecond)
	case logicalDate:
		return w.date(path, v)
	default:
		return errs.Field(path, "is of logical type %s, which cannot be written from JSON", s.logical)
	}
	number, isNumber := v.(json.Number)
	text, isText := v.(string)
	switch s.kind {
	case kindBoolean:
		b, ok := v.(bool)
		w.body = appendDefault(w.body, s, b)
		return expect(path, ok, "true or false")
	case kindInt:
		n, err := strconv.ParseInt(string(number), 10, 32)
		w.long(n)
		return expect(path, isNumber && err == nil, "an integer of 32 bits, without fraction and exponent")
	case kindLong:
		n, err := strconv.ParseInt(string(number), 10, 64)
		w.long(n)
		return expect(path, isNumber && err == nil, "an integer of 64 bits, without fraction and exponent")
	case kindFloat:
		n, err := strconv.ParseFloat(string(number), 32)
		w.body = appendDefault(w.body, s, float32(n))
		return expect(path, isNumber && err == nil, "a number in the range of 32 bits")
	case kindDouble:
		n, err := strconv.ParseFloat(string(number), 64)
		w.body = appendDefault(w.body, s, n)
		return expect(path, isNumber && err == nil, "a number")
	case kindString:
		if !isText {
			return expect(path, false, "a text")
		}
		return w.text(path, text)
	case kindBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		w.body = appendText(w.body, b)
		return expect(path, isText && err == nil, "bytes in base64")
	}
	return errs.Field(path, "is of a type that cannot be written from JSON: %s", s.kind)
}

func (w *jsonWriter) text(path, s string) error {
	w.body = appendText(w.body, s)
	if strings.ContainsRune(s, 0) {
		return errs.Field(path, "contains the NUL character")
	}
	return nil
}

// time writes a timestamp as the number of units since 1970.
func (w *jsonWriter) time(path string, v any, unit time.Duration) error {
	t, err := parseTime(path, v)
	if err != nil {
		return err
	}
	if t.Nanosecond()%int(unit) != 0 {
		return errs.Field(path, "must not be finer than %s", unit)
	}
	if unit == time.Millisecond {
		w.long(t.UnixMilli())
	} else {
		w.long(t.UnixMicro())
	}
	return nil
}

// date writes the number of days since 1970.
func (w *jsonWriter) date(path string, v any) error {
	t, err := parseTime(path, v)
	if err != nil {
		return err
	}
	if t.Unix()%secondsPerDay != 0 || t.Nanosecond() != 0 {
		return errs.Field(path, "must be a day: midnight, UTC")
	}
	w.long(t.Unix() / secondsPerDay)
	return nil
}

func parseTime(path string, v any) (time.Time, error) {
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, errs.Field(path, `must be a time in RFC 3339, like "2006-01-02T15:04:05Z"`)
	}
	if t = t.UTC(); t.Before(minTime) || !t.Before(maxTime) {
		return t, errs.Field(path, "must be within the years 1 to 9999, UTC")
	}
	return t, nil
}

// fixedBytes accepts base64, and the array of numbers that DecodeJSON writes.
func fixedBytes(v any) ([]byte, bool) {
	if text, ok := v.(string); ok {
		b, err := base64.StdEncoding.DecodeString(text)
		return b, err == nil
	}
	list, ok := v.([]any)
	b := make([]byte, len(list))
	for i, item := range list {
		number, _ := item.(json.Number)
		n, err := strconv.ParseUint(string(number), 10, 8)
		ok = ok && err == nil
		b[i] = byte(n)
	}
	return b, ok
}

func expect(path string, ok bool, what string) error {
	if ok {
		return nil
	}
	return errs.Field(path, "must be %s", what)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
