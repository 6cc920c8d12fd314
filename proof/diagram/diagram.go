// Package diagram puts a run into words ([Text]) and draws it as a sequence diagram ([SVG]). It knows
// nothing of what the columns are. Equal runs have equal output, byte by byte.
package diagram

import (
	"fmt"
	"html"
	"io"
	"strings"
	"unicode/utf8"
)

// Line is one step of a run. From and To are the numbers of columns, from 0. They are equal for a step
// that concerns one column.
type Line struct {
	From, To int
	Text     string
	Effect   string // what the step changed; "" when nothing changed
	Fault    bool   // the step is a fault
}

// Text writes one numbered paragraph per line.
func Text(w io.Writer, columns []string, lines []Line) error {
	var b strings.Builder
	for i, l := range lines {
		who := columns[l.From]
		if l.From != l.To {
			who += " → " + columns[l.To]
		}
		mark := " "
		if l.Fault {
			mark = "!"
		}
		fmt.Fprintf(&b, "%3d %s %s: %s\n", i+1, mark, who, l.Text)
		if l.Effect != "" {
			fmt.Fprintf(&b, "          %s\n", l.Effect)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// The measures of a drawing, in pixels. A letter of 12 pixels is about 7 wide.
const (
	columnWidth = 150
	lineHeight  = 46
	top         = 70
	margin      = 40
	letter      = 7
)

// SVG writes a sequence diagram with the title above and the verdict below: columns from left to
// right, time downwards. Arrows of faults are red and dashed. It uses no font, script or style from
// elsewhere.
func SVG(w io.Writer, title, verdict string, columns []string, lines []Line) error {
	width := 2*margin + columnWidth*len(columns)
	for _, l := range lines {
		widest := max(utf8.RuneCountInString(l.Text), utf8.RuneCountInString(l.Effect)) + 4
		width = max(width, at(min(l.From, l.To))+letter*widest+margin)
	}
	bottom := top + lineHeight*len(lines) + 20
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", width, bottom+40)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	fmt.Fprintf(&b, `<text x="%d" y="22" font-size="15" font-weight="bold">%s</text>`+"\n", margin, html.EscapeString(title))
	for i, name := range columns {
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#bbb"/>`+"\n", at(i), top-18, at(i), bottom)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" font-weight="bold">%s</text>`+"\n", at(i), top-24, html.EscapeString(name))
	}
	for i, l := range lines {
		draw(&b, i, l)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#b00020" font-weight="bold">%s</text>`+"\n", margin, bottom+22, html.EscapeString(verdict))
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// halo keeps a text readable where it crosses a line.
const halo = ` stroke="white" stroke-width="4" paint-order="stroke"`

// at is the middle of a column.
func at(column int) int { return margin + columnWidth/2 + columnWidth*column }

// draw draws one line: an arrow, or a dot where the columns are equal, with the text above and the
// effect below.
func draw(b *strings.Builder, i int, l Line) {
	y := top + lineHeight*i + 18
	colour, dash := "#1a4d8f", ""
	if l.Fault {
		colour, dash = "#b00020", ` stroke-dasharray="5 3"`
	}
	from, to := at(l.From), at(l.To)
	if from == to {
		fmt.Fprintf(b, `<circle cx="%d" cy="%d" r="4" fill="%s"/>`+"\n", from, y, colour)
	} else {
		back := 8
		if to < from {
			back = -8
		}
		fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="1.5"%s/>`+"\n", from, y, to, y, colour, dash)
		fmt.Fprintf(b, `<path d="M %d %d l %d -4 v 8 z" fill="%s"/>`+"\n", to, y, -back, colour)
	}
	left := min(from, to) + letter
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s"%s>%d. %s</text>`+"\n", left, y-6, colour, halo, i+1, html.EscapeString(l.Text))
	if l.Effect != "" {
		fmt.Fprintf(b, `<text x="%d" y="%d" font-size="11" fill="#444"%s>%s</text>`+"\n", left, y+15, halo, html.EscapeString(l.Effect))
	}
}
