// The documentation: Swagger UI, with the description and the key of this service.

import { request } from "./api.js";
import { $, alarm } from "./dom.js";
import { keyHeaders } from "./key.js";

try {
  const spec = await (await request("../openapi.json")).json();
  // Beside this page, also under a prefix that the service has not been told of.
  spec.servers = [{ url: new URL("..", location.href).href.replace(/\/$/, "") }];
  window.SwaggerUIBundle({
    spec,
    domNode: $("#swagger-ui"),
    deepLinking: true,
    tryItOutEnabled: true,
    // No badge: Swagger UI would ask its maker's server whether the description is valid.
    validatorUrl: null,
    requestInterceptor: (asked) => {
      // A key typed under "Authorize" goes before the one of this tab.
      asked.headers = { ...keyHeaders(), ...asked.headers };
      return asked;
    },
  });
} catch (problem) {
  alarm(problem.message);
}
