"""How the bundled sample clip is made; nothing else imports it, and Blender is needed for `render` alone."""
