package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"

	"eventshop.example/bench/measure"
)

// Sizes of the plot in pixels.
const (
	plotWidth  = 860
	labelWidth = 300
	barsWidth  = 380
	barHeight  = 16
	rowGap     = 14
	headHeight = 64
)

// Plot writes a result as an SVG: per quantity a bar per side, drawn to the longest of the quantity,
// with a line from the lowest to the highest round. Rates that are withheld are left out, and so are
// quantities of one side only.
func Plot(out io.Writer, r *Result) error {
	var body strings.Builder
	y := headHeight
	for _, row := range r.Rows {
		if len(row.Values) < 2 || row.Kind == Rate && len(r.Withheld) > 0 {
			continue
		}
		y = plotRow(&body, r, row, y)
	}
	_, err := fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="12" y="24" font-size="16" font-weight="bold">%s</text>
<text x="12" y="44" fill="#555555">%s</text>
%s</svg>
`, plotWidth, y+10, text(r.Name), text(r.About), body.String())
	return err
}

// plotRow draws one quantity from y downwards and returns where the next begins.
func plotRow(out *strings.Builder, r *Result, row *Row, y int) int {
	longest := 0.0
	for _, values := range row.Values {
		longest = math.Max(longest, measure.SpreadOf(values).Max)
	}
	fmt.Fprintf(out, `<text x="12" y="%d">%s</text>`+"\n", y+12, text(row.What+unit(row.Unit)))
	for i, side := range r.Sides {
		s := row.Spread(side)
		if math.IsNaN(s.Median) {
			continue
		}
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n",
			labelWidth, y, scale(s.Median, longest), barHeight-3, color(i))
		middle := y + (barHeight-3)/2
		fmt.Fprintf(out, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%[2]d" stroke="#222222"/>`+"\n",
			labelWidth+scale(s.Min, longest), middle, labelWidth+scale(s.Max, longest))
		fmt.Fprintf(out, `<text x="%d" y="%d">%s: %s</text>`+"\n",
			labelWidth+barsWidth+10, y+11, text(side), text(cell(r, row, s)))
		y += barHeight
	}
	return y + rowGap
}

func scale(v, longest float64) float64 {
	if longest <= 0 {
		return 0
	}
	return math.Max(v, 0) / longest * barsWidth
}

func color(i int) string {
	colors := []string{"#2b6cb0", "#c05621", "#718096", "#2f855a"}
	return colors[i%len(colors)]
}

// text escapes characters that mean something in XML.
func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder accepts everything
	return b.String()
}
