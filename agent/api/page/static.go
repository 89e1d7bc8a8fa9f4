package page

import (
	_ "embed"

	"cpns.example.net/pngw/internal/webpage"
)

// The page's files, compressed, as scripts/web/build.mjs makes them out of web/.
var (
	//go:embed dist/index.html.gz
	index string
	//go:embed dist/app.css.gz
	css string
	//go:embed dist/app.js.gz
	app string
	//go:embed dist/de.js.gz
	german string
	//go:embed dist/argon2.js.gz
	argon2 string
	//go:embed dist/scan.js.gz
	scan string
	//go:embed dist/icon.svg.gz
	icon string
)

var files = map[string]webpage.File{
	"/":          {Type: webpage.HTML, Text: index},
	"/app.css":   {Type: webpage.CSS, Text: css},
	"/app.js":    {Type: webpage.JavaScript, Text: app},
	"/de.js":     {Type: webpage.JavaScript, Text: german},
	"/argon2.js": {Type: webpage.JavaScript, Text: argon2},
	"/scan.js":   {Type: webpage.JavaScript, Text: scan},
	"/icon.svg":  {Type: webpage.SVG, Text: icon},
}
