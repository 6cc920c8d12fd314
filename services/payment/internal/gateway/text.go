package gateway

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxText bounds the stored texts of the gateway, in bytes.
	maxText = 500
	// maxID bounds an id of the gateway, in bytes. The gateway's own ids have about a dozen.
	maxID = 128
)

// Tidy makes a foreign server's text fit for a text column, an event and a log: valid UTF-8 on one
// line, without NUL and other control characters, at most a few hundred bytes.
func Tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// isID reports whether text can be stored and shown as an id. An unusable id is never changed to
// fit, because a changed id names something else.
func isID(text string) bool {
	if text == "" || len(text) > maxID {
		return false
	}
	for _, r := range text {
		// JSON with invalid UTF-8 was read as RuneError.
		if r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// isCurrency reports whether text has the form of an ISO 4217 code.
func isCurrency(text string) bool {
	if len(text) != 3 {
		return false
	}
	for _, b := range []byte(text) {
		if b < 'A' || b > 'Z' {
			return false
		}
	}
	return true
}
